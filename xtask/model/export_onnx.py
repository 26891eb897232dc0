"""Builds FOLDER/onnx/model.onnx from FOLDER/model.safetensors: `export_onnx.py FOLDER`.

Node by node from the formula of BERT, with nothing but numpy and onnx: torch's exporters are a gigabyte, and one of
them gave a graph that computes something else. The tests compare what it answers with sentence-transformers.
"""

import json
import math
import pathlib
import sys

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

folder = pathlib.Path(sys.argv[1])
config = json.loads((folder / "config.json").read_text())
hidden, heads = config["hidden_size"], config["num_attention_heads"]
assert config["model_type"] == "bert" and config["hidden_act"] == "gelu"

raw = (folder / "model.safetensors").read_bytes()
length = int.from_bytes(raw[:8], "little")
entries = json.loads(raw[8 : 8 + length])


def tensor(name):
    entry = entries[name]
    assert entry["dtype"] == "F32", name
    start, end = (8 + length + at for at in entry["data_offsets"])
    return np.frombuffer(raw[start:end], np.float32).reshape(entry["shape"])


nodes, constants = [], []


def constant(value, kind=np.float32):
    name = f"constant_{len(constants)}"
    constants.append(numpy_helper.from_array(np.array(value, kind), name))
    return name


def node(kind, *inputs, **attributes):
    name = f"{kind.lower()}_{len(nodes)}"
    nodes.append(helper.make_node(kind, list(inputs), [name], name=name, **attributes))
    return name


def linear(name, x):
    product = node("MatMul", x, constant(tensor(f"{name}.weight").T))
    return node("Add", product, constant(tensor(f"{name}.bias")))


def norm(name, x):
    weight, bias = (constant(tensor(f"{name}.{part}")) for part in ("weight", "bias"))
    return node("LayerNormalization", x, weight, bias, axis=-1, epsilon=config["layer_norm_eps"])


def gelu(x):
    erf = node("Erf", node("Div", x, constant(math.sqrt(2))))
    return node("Mul", node("Mul", x, node("Add", erf, constant(1))), constant(0.5))


def attention(layer, x, mask):
    by_head = constant([0, 0, heads, hidden // heads], np.int64)

    def part(name, *order):
        whole = node("Reshape", linear(f"{layer}.attention.self.{name}", x), by_head)
        return node("Transpose", whole, perm=order)

    query, key, value = part("query", 0, 2, 1, 3), part("key", 0, 2, 3, 1), part("value", 0, 2, 1, 3)
    scores = node("Div", node("MatMul", query, key), constant(math.sqrt(hidden // heads)))
    shares = node("Softmax", node("Add", scores, mask), axis=-1)
    seen = node("Transpose", node("MatMul", shares, value), perm=(0, 2, 1, 3))
    return node("Reshape", seen, constant([0, 0, hidden], np.int64))


ids, mask, types = inputs = "input_ids", "attention_mask", "token_type_ids"
count = node("Gather", node("Shape", ids), constant(1, np.int64))
places = node("Range", constant(0, np.int64), count, constant(1, np.int64))
x = node("Gather", constant(tensor("embeddings.word_embeddings.weight")), ids)
x = node("Add", x, node("Gather", constant(tensor("embeddings.position_embeddings.weight")), places))
x = node("Add", x, node("Gather", constant(tensor("embeddings.token_type_embeddings.weight")), types))
x = norm("embeddings.LayerNorm", x)
seen = node("Cast", node("Unsqueeze", mask, constant([1, 2], np.int64)), to=TensorProto.FLOAT)
unseen = node("Mul", node("Sub", constant(1), seen), constant(np.finfo(np.float32).min))
for index in range(config["num_hidden_layers"]):
    layer = f"encoder.layer.{index}"
    attended = linear(f"{layer}.attention.output.dense", attention(layer, x, unseen))
    x = norm(f"{layer}.attention.output.LayerNorm", node("Add", attended, x))
    inner = gelu(linear(f"{layer}.intermediate.dense", x))
    x = norm(f"{layer}.output.LayerNorm", node("Add", linear(f"{layer}.output.dense", inner), x))
nodes.append(helper.make_node("Identity", [x], ["last_hidden_state"]))

shape = ["texts", "tokens"]
graph = helper.make_graph(
    nodes,
    "bert",
    [helper.make_tensor_value_info(name, TensorProto.INT64, shape) for name in inputs],
    [helper.make_tensor_value_info("last_hidden_state", TensorProto.FLOAT, [*shape, hidden])],
    constants,
)
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
onnx.checker.check_model(model)
(folder / "onnx").mkdir(exist_ok=True)
onnx.save(model, folder / "onnx" / "model.onnx")
