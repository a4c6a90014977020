"""Where OpenVINO spends its time: milliseconds by kind of operator and kernel, by its own counters.

    python amx.py ENVIRONMENT/bin/python openvino_profile.py MODEL.xml [--threads 1] [--runs 15]

`peers.py` makes the environment and the models, below build/peers. Its operators run one after the other on one thread,
so that their times can be held against those of `dvfl-mobile profile --operators --threads 1`.
"""

from __future__ import annotations

import argparse
from collections import Counter

import numpy as np
import openvino
from worker import openvino_settings


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--runs", type=int, default=15)
    options = parser.parse_args()
    settings = openvino_settings(options.threads) | {"PERF_COUNT": True}
    compiled = openvino.Core().compile_model(options.model, "CPU", settings)
    request = compiled.create_infer_request()
    drawn = np.random.default_rng(0)
    for index, value in enumerate(compiled.inputs):
        shape = tuple(value.shape)
        request.set_input_tensor(index, openvino.Tensor(drawn.standard_normal(shape).astype(np.float32)))
    request.infer()
    runs: list[Counter[tuple[str, str]]] = []
    for _ in range(options.runs):
        request.infer()
        spent: Counter[tuple[str, str]] = Counter()
        for each in request.get_profiling_info():
            spent[each.node_type, each.exec_type] += each.real_time.total_seconds() * 1e3
        runs.append(spent)
    medians = {kind: float(np.median([spent[kind] for spent in runs])) for spent in runs for kind in spent}
    print(f"{sum(medians.values()):8.1f} ms, all operators, median of {options.runs} runs, {options.threads} thread(s)")
    for (node, kernel), time in sorted(medians.items(), key=lambda row: -row[1]):
        if time >= 0.05:
            print(f"{time:8.1f} ms  {node:24} {kernel}")


if __name__ == "__main__":
    main()
