"""A validator for the part of JSON Schema that schemas/openapi.json uses. What it does not know is an
error, so that no rule is passed over.
"""

import datetime
import re

IGNORED = {"description", "default", "title", "examples", "contentEncoding", "example"}
TYPES = {"object": dict, "array": list, "string": str, "boolean": bool, "null": type(None)}


class Mismatch(Exception):
    """Says where and why."""


def is_type(value, name):
    if name == "integer":
        return isinstance(value, int) and not isinstance(value, bool)
    if name == "number":
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    return isinstance(value, TYPES[name])


def resolve(document, reference):
    assert reference.startswith("#/"), reference
    at = document
    for part in reference[2:].split("/"):
        at = at[part]
    return at


def is_date_time(text):
    if not re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", text):
        return False
    try:
        datetime.datetime.fromisoformat(text[:19])
    except ValueError:
        return False
    return True


def fits(document, schema, value):
    try:
        check(document, schema, value)
    except Mismatch:
        return False
    return True


def check(document, schema, value, where="$"):
    """Raises Mismatch where the value does not fit."""
    for keyword, rule in schema.items():
        if keyword not in IGNORED:
            RULES[keyword](document, schema, rule, value, where)


def need(holds, where, says):
    if not holds:
        raise Mismatch(f"{where}: {says}")


def rule_ref(document, _schema, rule, value, where):
    check(document, resolve(document, rule), value, where)


def rule_type(_document, _schema, rule, value, where):
    names = rule if isinstance(rule, list) else [rule]
    need(any(is_type(value, name) for name in names), where, f"{value!r} is no {rule}")


def rule_properties(document, _schema, rule, value, where):
    if isinstance(value, dict):
        for name, schema in rule.items():
            if name in value:
                check(document, schema, value[name], f"{where}.{name}")


def rule_additional(document, schema, rule, value, where):
    if not isinstance(value, dict):
        return
    for name in value.keys() - schema.get("properties", {}).keys():
        need(rule is not False, where, f"a member {name!r}")
        if isinstance(rule, dict):
            check(document, rule, value[name], f"{where}.{name}")


def rule_required(_document, _schema, rule, value, where):
    if isinstance(value, dict):
        missing = [name for name in rule if name not in value]
        need(not missing, where, f"no {missing}")


def rule_items(document, _schema, rule, value, where):
    if isinstance(value, list):
        for number, one in enumerate(value):
            check(document, rule, one, f"{where}[{number}]")


def rule_all_of(document, _schema, rule, value, where):
    for schema in rule:
        check(document, schema, value, where)


def rule_one_of(document, _schema, rule, value, where):
    count = sum(fits(document, schema, value) for schema in rule)
    need(count == 1, where, f"{value!r} fits {count} of the alternatives")


def rule_any_of(document, _schema, rule, value, where):
    need(any(fits(document, schema, value) for schema in rule), where, f"{value!r} fits none")


def rule_format(_document, _schema, rule, value, where):
    if rule == "date-time":
        need(isinstance(value, str) and is_date_time(value), where, f"{value!r} is no time")
    else:
        assert rule == "binary", rule


def simple(holds, says):
    def rule_of(_document, _schema, rule, value, where):
        need(holds(rule, value), where, f"{value!r} {says} {rule!r}")
    return rule_of


RULES = {
    "$ref": rule_ref,
    "type": rule_type,
    "properties": rule_properties,
    "additionalProperties": rule_additional,
    "required": rule_required,
    "items": rule_items,
    "allOf": rule_all_of,
    "oneOf": rule_one_of,
    "anyOf": rule_any_of,
    "format": rule_format,
    "enum": simple(lambda rule, value: value in rule, "is none of"),
    "const": simple(lambda rule, value: value == rule, "is not"),
    "minimum": simple(lambda rule, value: not is_type(value, "number") or value >= rule,
                      "is below"),
    "maximum": simple(lambda rule, value: not is_type(value, "number") or value <= rule,
                      "is above"),
    "minLength": simple(lambda rule, value: not isinstance(value, str) or len(value) >= rule,
                        "is shorter than"),
    "maxLength": simple(lambda rule, value: not isinstance(value, str) or len(value) <= rule,
                        "is longer than"),
    "minItems": simple(lambda rule, value: not isinstance(value, list) or len(value) >= rule,
                       "has fewer items than"),
    "maxItems": simple(lambda rule, value: not isinstance(value, list) or len(value) <= rule,
                       "has more items than"),
    "maxProperties": simple(lambda rule, value: not isinstance(value, dict) or len(value) <= rule,
                            "has more members than"),
    "pattern": simple(lambda rule, value: not isinstance(value, str) or
                      re.search(rule, value) is not None, "does not match"),
}
