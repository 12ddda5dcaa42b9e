"""A GPU that only pretends: real numbers on the CPU, of which each tensor is said to be on "cuda:0" or on the CPU.

It has CUDA's rules. An operation on tensors of both fails, with the file and line of ours that asked for it; but a
tensor of no dimension may come from the CPU, so may an index into a tensor of the device, and copies cross. A tensor of
the device has no `numpy()`. What it knows nothing of: streams, kernels that there are not for a type, memory, and sums
that come out in another order.
"""

import traceback
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

GPU, CPU = torch.device("cuda:0"), torch.device("cpu")
_MARK = "is_on_the_pretend_device"  # an attribute of storages; views share them
_ROOT = Path(__file__).resolve().parents[1]
_OURS = tuple(str(_ROOT / name) for name in ("agents", "backbones", "rewards", "evaluation", "envs", "tests"))

aten = torch.ops.aten
_CROSS = {aten.copy_.default, aten._to_copy.default, aten._local_scalar_dense.default}
_INDEXED = {
    aten.index.Tensor, aten._unsafe_index.Tensor, aten.index_put.default, aten.index_put_.default,
    aten._index_put_impl_.default,
}  # fmt: skip


class DeviceMismatchError(RuntimeError):
    """Tensors of two devices met."""


class PretendDevice:
    """What happened on the device so far.

    Attributes:
        operations: how many ran there.
        reads: how many numbers were fetched from it one by one (`item`, `tolist`); a GPU is waited for at each.
    """

    def __init__(self) -> None:
        self.operations = self.reads = 0


@contextmanager
def pretend_device() -> Iterator[PretendDevice]:
    """Lets there be a "cuda" inside."""
    device = PretendDevice()
    with ExitStack() as stack:
        for name, value in (("is_bf16_supported", True), ("mem_get_info", (4 << 30, 4 << 30))):
            stack.enter_context(patch.object(torch.cuda, name, lambda *_, _value=value, **__: _value))
        # SB3 asks torch whether there is CUDA, and so would other libraries, which would then use it.
        stack.enter_context(patch("stable_baselines3.common.base_class.get_device", torch.device))
        stack.enter_context(_Names())
        stack.enter_context(_Rules(device))
        yield device


def is_there(tensor: Tensor) -> bool:
    """Returns whether a tensor is on the device."""
    if not _is_plain(tensor):
        return False
    if torch._C._functorch.is_functorch_wrapped_tensor(tensor):
        return is_there(torch._C._functorch.get_unwrapped(tensor))
    return getattr(tensor.untyped_storage(), _MARK, False)


def _mark(found: Any, there: bool = True) -> Any:
    if isinstance(found, Tensor) and _is_plain(found):
        if torch._C._functorch.is_functorch_wrapped_tensor(found):
            _mark(torch._C._functorch.get_unwrapped(found), there)
        else:
            setattr(found.untyped_storage(), _MARK, there)
    return found


def _fail(what: str) -> None:
    """Fails with the innermost line of ours."""
    frames = [f for f in traceback.extract_stack() if f.filename.startswith(_OURS) and f.filename != __file__]
    where = f"{Path(frames[-1].filename).relative_to(_ROOT)}:{frames[-1].lineno}" if frames else "outside of perlhf"
    raise DeviceMismatchError(f"{where}: {what}")


class _Rules(TorchDispatchMode):
    """Sees every operation, those of a backward pass too, and says on which device its result is."""

    def __init__(self, device: PretendDevice) -> None:
        super().__init__()
        self.device = device

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        there = [tensor for tensor in given if is_there(tensor)]
        here = [tensor for tensor in given if not is_there(tensor) and tensor.dim()]
        if func in _INDEXED:
            there = self._check_index(func, args)
        elif there and here and func not in _CROSS:
            _fail(f"{func} of a tensor on {GPU} and of one on the CPU, {tuple(here[0].shape)}")
        found = func(*args, **(kwargs or {}))
        if not there:
            return found
        self.device.operations += 1
        if func is aten._local_scalar_dense.default:
            self.device.reads += 1
        elif func is not aten.copy_.default:
            tree_map(_mark, found)
        return found

    def _check_index(self, func: Any, args: Any) -> list[Tensor]:
        base, indices, values = args[0], [i for i in args[1] if i is not None], args[2:3]
        if not is_there(base) and any(is_there(index) for index in indices):
            _fail(f"{func} of a tensor on the CPU by an index on {GPU}")
        if any(is_there(value) != is_there(base) and value.dim() for value in values):
            _fail(f"{func} of a value from the other device")
        return [base] if is_there(base) else []


class _Names(TorchFunctionMode):
    """Sees what names a device: where a tensor is, where one shall be made, and where one shall go."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if func == Tensor.device.__get__:
            return GPU if is_there(args[0]) else func(*args)
        if func in (Tensor.is_cuda.__get__, Tensor.is_cpu.__get__) and _is_plain(args[0]):
            return is_there(args[0]) == (func == Tensor.is_cuda.__get__)
        if func in (Tensor.numpy, Tensor.__array__) and is_there(args[0]):
            _fail(f"numpy of a tensor on {GPU}")
        if func is Tensor.cpu:
            return _moved(args[0], False)
        if func is Tensor.cuda:
            return _moved(args[0], True)
        if func is Tensor.to and (goal := _goal(args, kwargs)) is not None:
            dtypes = [a for a in (*args[1:], kwargs.get("dtype")) if isinstance(a, torch.dtype)]
            dtypes += [a.dtype for a in args[1:2] if isinstance(a, Tensor)]
            moved = _moved(args[0], goal.type == "cuda") if goal.type in ("cuda", "cpu") else args[0].to(goal)
            return moved.to(*dtypes) if dtypes else moved
        if kwargs.get("device") is not None and torch.device(kwargs["device"]).type == "cuda":
            kwargs["device"] = CPU
            return _mark(func(*args, **kwargs))
        found = func(*args, **kwargs)
        of_one_there = func.__name__.startswith("new_") and "device" not in kwargs and is_there(args[0])
        return _mark(found) if of_one_there else found


def _is_plain(tensor: Tensor) -> bool:
    return tensor.layout == torch.strided and not tensor.is_meta


def _goal(args: Any, kwargs: Any) -> torch.device | None:
    """Returns where `Tensor.to` sends a tensor; None where it changes its type alone."""
    for given in (*args[1:], kwargs.get("device")):
        if isinstance(given, Tensor):
            return given.device
        if isinstance(given, (str, int, torch.device)) and not isinstance(given, bool):
            return torch.device(given)
    return None


def _moved(tensor: Tensor, there: bool) -> Tensor:
    if is_there(tensor) == there or not _is_plain(tensor):
        return tensor
    moves = tensor.requires_grad and torch.is_grad_enabled()
    return _Move.apply(tensor, there) if moves else _copied(tensor, there)


def _copied(tensor: Tensor, there: bool) -> Tensor:
    with torch._C.DisableTorchFunction():
        return _mark(tensor.detach().clone(), there)


class _Move(torch.autograd.Function):
    """Moves a tensor to the other device, and its gradient back."""

    @staticmethod
    def forward(ctx: Any, tensor: Tensor, there: bool) -> Tensor:
        return _copied(tensor, there)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return _copied(gradient, not is_there(gradient)), None
