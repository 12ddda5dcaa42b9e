"""Processors: reads what makes tokens and pixels of images beside a model, with Pillow, and copies its files.

Many processors have parts for videos and sound too. Those need torchvision or other packages, and nothing here is shown
any, so they are left out. The part for images is Pillow's everywhere, so that the same image gives the same pixels
whether or not torchvision is installed.
"""

import inspect
import shutil
from pathlib import Path
from typing import Any

import transformers
from transformers import PROCESSOR_MAPPING, AutoImageProcessor, AutoProcessor, PreTrainedConfig, ProcessorMixin
from transformers.image_processing_utils import ImageProcessingMixin
from transformers.utils import cached_file

from backbones.model.loading import FOR_IMAGES, BackboneError, load_tokenizer, safe_config
from perlhf.errors import one_line

_KNOWN = {"image_processor", "tokenizer"}  # parts that are loaded
_LEFT_OUT = {"video_processor", "feature_extractor", "audio_processor"}
_FILES = ("processor_config.json", "preprocessor_config.json", "video_preprocessor_config.json")


def load_processor(path: str, config: PreTrainedConfig) -> ProcessorMixin:
    """Reads what makes tokens and pixels of images beside a model that sees; with Pillow, no torchvision needed.

    Args:
        path: a folder or a hub id.
        config: the model's.

    Raises:
        BackboneError: there is none, or one that needs what is not installed.
    """
    try:
        kind = _class_of(path, config)
        if kind is None or not _KNOWN <= set(kind.get_attributes()) <= _KNOWN | _LEFT_OUT:
            return AutoProcessor.from_pretrained(path, **safe_config(path))
        return _for_images(kind, path)
    except Exception as error:  # what a processor raises is any of a dozen types
        reason = one_line(error)
        if isinstance(error, ImportError) and "Torchvision" in reason:
            reason = f"{reason.split()[0]} needs torchvision, which is not installed; {FOR_IMAGES}"
        raise BackboneError(f"backbone {path!r} has no processor that loads: {reason}") from None


def _class_of(path: str, config: PreTrainedConfig) -> type[ProcessorMixin] | None:
    """Finds the class of a processor where `AutoProcessor` does: by its files, else by the kind of model."""
    found, _ = ProcessorMixin.get_processor_dict(path, **safe_config(path))
    if "processor_class" not in found:  # as in most folders of the hub
        found, _ = ImageProcessingMixin.get_image_processor_dict(path, **safe_config(path))
    named: type[ProcessorMixin] | None = getattr(transformers, found.get("processor_class") or "", None)
    return named or PROCESSOR_MAPPING.get(type(config), None)


def _for_images(kind: type[ProcessorMixin], path: str) -> ProcessorMixin:
    """Makes a processor of its part for images and its tokenizer."""
    config, _ = kind.get_processor_dict(path, **safe_config(path))
    taken = inspect.signature(kind.__init__).parameters
    parts: dict[str, Any] = dict.fromkeys(kind.get_attributes())
    settings = {name: value for name, value in config.items() if name in taken and name not in parts}
    parts["image_processor"] = AutoImageProcessor.from_pretrained(path, backend="pil", **safe_config(path))
    parts["tokenizer"] = load_tokenizer(path)
    return (kind if set(parts) == _KNOWN else _without_other_parts(kind))(**parts, **settings)


def _without_other_parts(kind: type[ProcessorMixin]) -> type[ProcessorMixin]:
    """Makes a subclass that may lack any part but those for images and text."""

    def check_argument_for_proper_class(self: ProcessorMixin, argument_name: str, argument: Any) -> Any:
        if argument is None and argument_name in _LEFT_OUT:
            return None
        return kind.check_argument_for_proper_class(self, argument_name, argument)

    return type(kind.__name__, (kind,), {"check_argument_for_proper_class": check_argument_for_proper_class})


def is_whole(processor: ProcessorMixin) -> bool:
    """Tells whether a processor has all its parts; one that lacks some cannot save itself."""
    return all(getattr(processor, name, None) is not None for name in processor.get_attributes())


def copy_processor(path: str, folder: str | Path) -> None:
    """Copies the files of the processor at `path`, a folder or a hub id, so that `folder` opens as `path` does."""
    for name in _FILES:
        try:
            file = Path(cached_file(path, name, local_files_only=Path(path).is_dir()) or "")
        except OSError:  # there is none by that name; no processor has all of them
            continue
        if file.resolve() != (Path(folder) / name).resolve():
            shutil.copyfile(file, Path(folder) / name)
