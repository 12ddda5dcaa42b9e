r"""BrowserGym's text of an accessibility tree: `[2] button 'Send', clickable`, a tab deeper for each container.

Source: `flatten_axtree_to_str` of ServiceNow/BrowserGym: browsergym/core/src/browsergym/utils/obs.py, with
`with_clickable`. The bid of an element is its number; containers have none, since nothing is done with them. Roles are
those that browsers give elements which do the same.
"""

from collections.abc import Iterator

from envs.uinav.interface.screen import Element, Screen

ROLES = {
    "button": "button",
    "icon": "button",
    "app": "link",
    "field": "textbox",
    "item": "link",
    "text": "StaticText",
    "image": "image",
    "toggle": "switch",
    "check": "checkbox",
    "option": "radio",
    "tab": "tab",
    "key": "button",
    "bar": "banner",
    "list": "main",
    "foot": "contentinfo",
    "dialog": "dialog",
    "keyboard": "group",
}


def accessibility_tree(screen: Screen) -> str:
    """Returns the tree as text: the page, its containers, and in them the elements.

    Behind a dialog nothing is told, as behind a modal one in a browser. A message is an `alert`; that there is more
    above or below is told in words of ours.
    """
    name = f"{screen.app}: {screen.title}" if screen.title else screen.app
    lines = [f"RootWebArea {name!r}"]
    if screen.notice:
        lines.append(f"\talert {screen.notice!r}")
    if screen.above:
        lines.append("\tStaticText 'more above'")
    lines += _inside(screen)
    if screen.below:
        lines.append("\tStaticText 'more below'")
    return "\n".join(lines)


def _inside(screen: Screen) -> Iterator[str]:
    """Yields the lines of the elements, each container's behind its own where containers are known."""
    numbers = {id(element): number for number, element in enumerate(screen.elements, 1)}
    told = 0
    for part in screen.parts:
        shown = [element for element in part.children if id(element) in numbers]
        if not shown:
            continue
        yield f"\t{ROLES.get(part.kind, 'generic')} ''"
        for element in shown:
            told += 1
            yield f"\t\t{_line(element, numbers[id(element)])}"
    if told < len(screen.elements):  # a screen of no containers
        yield from (f"\t{_line(element, number)}" for number, element in enumerate(screen.elements, 1))


def _line(element: Element, number: int) -> str:
    """Returns one element: its bid, role and name, a field's value, and its properties."""
    line = f"[{number}] {ROLES.get(element.kind, 'generic')} {element.label!r}"
    if element.editable:
        line += f" value={element.text!r}"
    marks = ["clickable"] if (element.clickable or element.editable) and element.enabled else []
    if element.focused:
        marks.append("focused")
    if not element.enabled:
        marks.append("disabled=True")
    if element.checked is not None:
        marks.append(
            f"selected={element.checked}" if element.kind == "tab" else f"checked={str(element.checked).lower()!r}"
        )
    return ", ".join([line, *marks])
