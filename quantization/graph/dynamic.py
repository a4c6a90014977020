"""Dynamic quantization for XNNPACK: int8 weights, and activations quantized at run time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase

import torch
from torch import Tensor, nn
from torch.fx import GraphModule, Node
from torchao.quantization.pt2e.observer import PlaceholderObserver
from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e
from torchao.quantization.pt2e.quantizer import QuantizationAnnotation, QuantizationSpec, Quantizer

from dvfl_mobile.delegation import module_path
from dvfl_mobile.model.lean.exports import lean_exports
from dvfl_mobile.quantization.floats import FLOAT_PARTS
from dvfl_mobile.quantization.graph.edges import weight_scales
from dvfl_mobile.quantization.graph.graphs import weight_spec
from dvfl_mobile.quantization.graph.traces import exported
from dvfl_mobile.quantization.scales import ACTIVATION_RANGE

_aten = torch.ops.aten


class DynamicQuantizer(Quantizer):  # type: ignore[misc]
    """Linear layers only.

    XNNPACK has dense convolutions of dynamic int8 too, but executorch 1.5's pass that lays them out channels last fails
    on the scales beside them (`required rank 4 tensor to use channels_last format`).

    Args:
        weights: of the form, by name.
    """

    def __init__(self, weights: Mapping[str, Tensor]) -> None:
        super().__init__()
        self._weights = weights

    def annotate(self, model: GraphModule) -> GraphModule:
        least, most = ACTIVATION_RANGE
        activation = QuantizationSpec(
            torch.int8, PlaceholderObserver, least, most, torch.per_tensor_affine, is_dynamic=True
        )
        for node in model.graph.nodes:
            if self._is_quantized(node):
                source, weight = node.all_input_nodes[:2]
                path = module_path(node)
                scales = weight_scales(self._weights[f"{path}.weight"])
                node.meta["quantization_annotation"] = QuantizationAnnotation(
                    input_qspec_map={source: activation, weight: weight_spec(path, scales)}, _annotated=True
                )
        return model

    def validate(self, model: GraphModule) -> None:
        """Nothing: what isn't annotated stays float."""

    def _is_quantized(self, node: Node) -> bool:
        kept = any(part.is_product and fnmatchcase(module_path(node), part.modules) for part in FLOAT_PARTS)
        return node.target == _aten.linear.default and not kept


@lean_exports()
def dynamic_graph(form: nn.Module, shape: Sequence[int]) -> GraphModule:
    """The deploy form with dynamic quantization, as ExecuTorch's converter takes it."""
    return convert_pt2e(
        prepare_pt2e(exported(form, shape), DynamicQuantizer(dict(form.named_parameters()))), fold_quantize=True
    )
