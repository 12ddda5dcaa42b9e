"""AndroidWorld's list of UI elements, as its agent M3A shows it to a model.

    UI element 2: {"index": 2, "content_description": "Send", "is_clickable": True, "is_long_clickable": False, ...}

Source: google-research/android_world: android_world/agents/m3a.py, which names what it writes, and
android_world/env/representation_utils.py. Here the first element has index 1, as everywhere in UINav, and texts are
JSON strings. What stands around the list is ours: AndroidWorld shows the app, a message and what is out of sight in the
screenshot alone.
"""

import json

from envs.uinav.interface.screen import Element, Screen, framed


def element_list(screen: Screen) -> str:
    """Returns a line for each element, between UINav's own lines on the app, a message and what is out of sight."""
    lines = [f"UI element {index}: {_described(element, index)}" for index, element in enumerate(screen.elements, 1)]
    return framed(screen.app, screen.title, screen.notice, screen.above, screen.below, lines)


def _described(element: Element, index: int) -> str:
    """Returns an element in braces; a field's label is its hint, as on Android."""
    says = {"text": element.text}
    says["hint_text" if element.editable else "content_description"] = element.description
    parts = [
        f'"index": {index}',
        *(f'"{key}": {json.dumps(text, ensure_ascii=False)}' for key, text in says.items() if text),
    ]
    clickable = element.clickable and element.enabled
    flags = {"is_clickable": clickable, "is_long_clickable": element.long_clickable, "is_editable": element.editable}
    parts += [f'"{flag}": {value}' for flag, value in flags.items()]
    if element.scrollable:
        parts.append('"is_scrollable": True')
    if element.editable:
        parts.append('"is_focusable": True')
    selected = element.kind == "tab" and bool(element.checked)
    parts += [f'"is_selected": {selected}', f'"is_checked": {bool(element.checked) and not selected}']
    return f"{{{', '.join(parts)}}}"
