"""Types of scalars in user-data, which the models do not define: those of YAML 1.2, unless YAML 1.1 differs."""

from pragmaspec.spec.findings import Finding
from pragmaspec.spec.yaml.scalars import FALSES, INTEGER, NUMBER, OLD_BOOLEANS, TRUES, Plain, is_null
from pragmaspec.spec.yaml.tree import TreePath

_DIGITS_MAX = 15
"""Numbers with more digits remain strings, so that no reader rounds them."""


def typed_values(data: object, path: TreePath, findings: list[Finding]) -> object:
    """Return ``data`` with unquoted true, false, null and numbers in their common form converted; all else is a string.

    Strings include numbers and dates of YAML 1.1, which cloud-init reads, that are strings in YAML 1.2: 0644, 12:30, a MAC
    address. Booleans of YAML 1.1 that are strings in YAML 1.2 are ambiguous, and added to ``findings``.
    """
    if isinstance(data, dict):
        return {key: typed_values(value, (*path, key), findings) for key, value in data.items()}
    if isinstance(data, list):
        return [typed_values(value, (*path, position), findings) for position, value in enumerate(data)]
    if not isinstance(data, Plain):
        return data
    if data in OLD_BOOLEANS:
        detail = f"`{data}` is a string in YAML 1.2, but a boolean for cloud-init. Write {OLD_BOOLEANS[data]} or '{data}'."
        findings.append(Finding(path, "Ambiguous boolean", detail))
    return _scalar(data)


def _scalar(text: Plain) -> object:
    if is_null(text):
        return None
    if text in TRUES or text in FALSES:
        return text in TRUES
    if INTEGER.match(text) and len(text) <= _DIGITS_MAX:
        return int(text)
    if NUMBER.match(text) and repr(float(text)) == text:
        return float(text)
    return str(text)
