"""Time per short query with ONNX Runtime, one at a time on one thread: `time_onnxruntime.py FOLDER QUERIES.txt ROUNDS`.

Prints a line of JSON: nanoseconds of each query of each round, from text to vector of unit length, as
crates/embed/examples/time.rs does for ours.
"""

import json
import pathlib
import sys
import time

import numpy as np
import onnxruntime
import tokenizers

folder, queries, rounds = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), int(sys.argv[3])
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = options.inter_op_num_threads = 1
options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
session = onnxruntime.InferenceSession(
    str(folder / "onnx/model.onnx"), options, providers=["CPUExecutionProvider"]
)
tokenizer = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
tokenizer.no_padding()
tokenizer.enable_truncation(256)


def embed(text):
    ids = np.array([tokenizer.encode(text).ids])
    inputs = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
    (hidden,) = session.run(None, inputs)
    vector = hidden[0].mean(0)
    return vector / np.linalg.norm(vector)


texts = queries.read_text().splitlines()
for text in texts:
    embed(text)
times = []
for _ in range(rounds):
    for text in texts:
        start = time.perf_counter_ns()
        embed(text)
        times.append(time.perf_counter_ns() - start)
json.dump(times, sys.stdout)
