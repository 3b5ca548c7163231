"""The ONNX files beside this script: a narrow MobileNet-V1 with random weights, as three exporters write it.

Run from the repository root with the requirements of models/train. Each file's logits of the test map are in
logits.json: the map's level at (y, x) is (31 y + 17 x) % 128.
"""

import json
import sys
from pathlib import Path

import torch

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parents[3] / "models" / "train"))
from network import MobileNetV1

SIDE, WIDTH = 32, 0.03


def network() -> MobileNetV1:
    torch.manual_seed(5)
    model = MobileNetV1(WIDTH)
    for norm in (m for m in model.modules() if isinstance(m, torch.nn.BatchNorm2d)):
        torch.nn.init.uniform_(norm.weight, 0.5, 1.5)
        torch.nn.init.uniform_(norm.bias, -0.2, 0.6)
    model.train()
    with torch.no_grad():
        for _ in range(50):
            model(torch.rand(16, 1, SIDE, SIDE))
    return model.eval()


model = network()
y, x = torch.meshgrid(torch.arange(SIDE), torch.arange(SIDE), indexing="ij")
example = ((31 * y + 17 * x) % 128)[None, None] / 127.0
names = {"input_names": ["map"], "output_names": ["logits"]}
open_batch = {"dynamic_axes": {"map": {0: "n"}, "logits": {0: "n"}}}
training = torch.onnx.TrainingMode
torch.onnx.export(model, (example,), HERE / "folded.onnx", dynamo=False, opset_version=13, **names, **open_batch)
torch.onnx.export(
    model, (example,), HERE / "norms.onnx", dynamo=False, opset_version=13, training=training.PRESERVE,
    do_constant_folding=False, **names
)
torch.onnx.export(model, (example,), HERE / "dynamo.onnx", dynamo=True, external_data=False, **names)
with torch.no_grad():
    logits = model(example)[0].tolist()
(HERE / "logits.json").write_text(json.dumps(logits) + "\n")
