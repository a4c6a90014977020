// ExecuTorch's thread pool, which its wheel has as a library, but without this header: what is used of it, declared.
#pragma once

#include <cstddef>
#include <cstdint>

namespace executorch::extension::threadpool {

class ThreadPool {
  public:
    std::size_t get_thread_count() const;
    bool _unsafe_reset_threadpool(std::uint32_t threads);
};

ThreadPool *get_threadpool();

} // namespace executorch::extension::threadpool
