"""Values inside cloud-init user-data, where no schema of ours gives a type: YAML 1.2, and never a guess."""

from pragmaspec.spec.findings import Finding
from pragmaspec.spec.yaml.scalars import FALSES, INTEGER, NUMBER, OLD_BOOLEANS, TRUES, Plain, is_null
from pragmaspec.spec.yaml.tree import TreePath

_DIGITS_MAX = 15
"""Numbers with more digits stay text, so that no reader rounds them."""


def typed_values(data: object, path: TreePath, findings: list[Finding]) -> object:
    """``data`` with its unquoted scalars typed: true, false, null and numbers in their usual form; all else is text.

    That includes what YAML 1.1, which cloud-init reads, takes for a number or date and YAML 1.2 does not: 0644, 12:30, a MAC
    address. A word that YAML 1.1 takes for a boolean is a finding, because nobody can say what is meant.
    """
    if isinstance(data, dict):
        return {key: typed_values(value, (*path, key), findings) for key, value in data.items()}
    if isinstance(data, list):
        return [typed_values(value, (*path, position), findings) for position, value in enumerate(data)]
    if not isinstance(data, Plain):
        return data
    if data in OLD_BOOLEANS:
        detail = f"`{data}` is a word here and a boolean for cloud-init. Write {OLD_BOOLEANS[data]}, or '{data}' in quotes."
        findings.append(Finding(path, "Word or boolean", detail))
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
