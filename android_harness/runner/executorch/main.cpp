// Runs one .pte with ExecuTorch and XNNPACK, and says how it went: see docs/native-runner.md.

#include <executorch/devtools/etdump/etdump_flatcc.h>
#include <executorch/extension/module/module.h>
#include <executorch/extension/tensor/tensor.h>
#include <executorch/runtime/platform/runtime.h>

#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "events.h"
#include "files.h"
#include "session.h"
#include "threadpool.h"

namespace {

using executorch::aten::ScalarType;
using executorch::aten::SizesType;
using executorch::aten::TensorImpl;
using executorch::etdump::ETDumpGen;
using executorch::extension::Module;
using executorch::extension::TensorPtr;
using executorch::runtime::Error;
using executorch::runtime::EValue;
using executorch::runtime::Program;
using executorch::runtime::TensorInfo;

constexpr const char *METHOD = "forward";

struct State {
    std::unique_ptr<Module> module;
    ScalarType type = ScalarType::Float;
    std::vector<SizesType> sizes;
    TensorPtr clip;
    std::vector<EValue> outputs;
};

State &state()
{
    static State held;
    return held;
}

std::unique_ptr<Module> loaded(const std::string &name, std::unique_ptr<ETDumpGen> tracer)
{
    auto module = std::make_unique<Module>(name, Module::LoadMode::Mmap, std::move(tracer));
    Error error = module->load(Program::Verification::InternalConsistency);
    if (error == Error::Ok) {
        error = module->load_method(METHOD, nullptr, module->event_tracer());
    }
    if (error != Error::Ok) {
        fail(FAULT_MODEL, "ExecuTorch can't load the model: %s", executorch::runtime::to_string(error));
    }
    return module;
}

const char *name_of(ScalarType type)
{
    switch (type) {
    case ScalarType::Float:
        return "float32";
    case ScalarType::Char:
        return "int8";
    default:
        return "another type";
    }
}

tensor facts_of(const TensorInfo &info, const char *what)
{
    tensor facts = {};
    facts.dtype = name_of(info.scalar_type());
    facts.rank = info.sizes().size();
    if (facts.rank > MOST_RANK) {
        fail(FAULT_MODEL, "the model's %s has %zu dimensions", what, facts.rank);
    }
    for (std::size_t i = 0; i < facts.rank; i++) {
        facts.shape[i] = info.sizes()[i];
    }
    return facts;
}

void set_threads(std::uint64_t threads)
{
    auto *pool = executorch::extension::threadpool::get_threadpool();
    if (pool == nullptr || !pool->_unsafe_reset_threadpool(static_cast<std::uint32_t>(threads)) ||
        pool->get_thread_count() != threads) {
        fail(FAULT_THREADS, "ExecuTorch doesn't take %llu threads", static_cast<unsigned long long>(threads));
    }
}

void load(const options *options, model *model)
{
    if (options->on_gpu) {
        fail(FAULT_OPTIONS, "there is no GPU for a .pte");
    }
    State &held = state();
    if (options->threads > 0) {
        set_threads(options->threads);
    }
    held.module = loaded(options->model.name, nullptr);
    auto about = held.module->method_meta(METHOD);
    if (!about.ok() || about->num_inputs() != 1 || about->num_outputs() != 1) {
        fail(FAULT_MODEL, "the model doesn't take one tensor and give one");
    }
    auto input = about->input_tensor_meta(0), output = about->output_tensor_meta(0);
    if (!input.ok() || !output.ok()) {
        fail(FAULT_MODEL, "the model doesn't take a tensor and give one");
    }
    held.type = input->scalar_type();
    held.sizes.assign(input->sizes().begin(), input->sizes().end());
    model->input = facts_of(*input, "input");
    model->output = facts_of(*output, "output");
    auto *pool = executorch::extension::threadpool::get_threadpool();
    model->threads = pool == nullptr ? 1 : pool->get_thread_count();
    model->delegate = "XNNPACK";
}

void take(const void *clip, std::size_t)
{
    State &held = state();
    // ExecuTorch's tensors don't know const; it reads inputs only.
    held.clip = executorch::extension::make_tensor_ptr(held.sizes, const_cast<void *>(clip), {}, {}, held.type);
}

std::vector<EValue> executed(Module &module)
{
    auto result = module.execute(METHOD, EValue(*state().clip));
    if (!result.ok()) {
        fail(FAULT_RUN, "ExecuTorch can't run the model: %s", executorch::runtime::to_string(result.error()));
    }
    return std::move(*result);
}

void run()
{
    state().outputs = executed(*state().module);
}

void give(float *logits, std::size_t count)
{
    const auto &outputs = state().outputs;
    if (outputs.size() != 1 || !outputs[0].isTensor()) {
        fail(FAULT_RUN, "ExecuTorch gave %zu values in place of one tensor", outputs.size());
    }
    const auto &tensor = outputs[0].toTensor();
    if (tensor.scalar_type() != ScalarType::Float || static_cast<std::size_t>(tensor.numel()) != count) {
        fail(FAULT_RUN, "ExecuTorch gave %zd values in place of %zu floats", static_cast<std::ptrdiff_t>(tensor.numel()),
             count);
    }
    std::memcpy(logits, tensor.const_data_ptr<float>(), count * sizeof(float));
}

// With a tracer XNNPACK times its operators, which slows it: so this loads the model once more, for itself alone.
void say_operators(const options *options)
{
    auto owned = std::make_unique<ETDumpGen>();
    ETDumpGen *tracer = owned.get();
    auto module = loaded(options->model.name, std::move(owned));
    executed(*module);
    tracer->reset();
    for (int i = 0; i < OPERATOR_RUNS; i++) {
        executed(*module);
    }
    auto trace = tracer->get_etdump_data();
    if (trace.buf == nullptr || trace.size == 0) {
        fail(FAULT_RUN, "ExecuTorch gave no record of its operators");
    }
    file_write(options->trace, trace.buf, trace.size);
    event_begin("trace");
    event_file(options->trace, trace.buf, trace.size);
    event_end(true);
    std::free(trace.buf);
}

} // namespace

int main(int argc, char **argv)
{
    executorch::runtime::runtime_init();
    const runtime executorch = {"ExecuTorch", DVFL_RUNTIME_VERSION, load, take, run, give, say_operators};
    return session(argc, argv, &executorch);
}
