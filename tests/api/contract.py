"""Is an answer of the API what its OpenAPI document says? The document is read as it is committed."""

import json
import pathlib
import re

import jsonschema

DOCUMENT = json.loads((pathlib.Path(__file__).parents[2] / "src/api/openapi.json").read_text())
SCHEMAS = {}


def resolve(node):
    while "$ref" in node:
        target = DOCUMENT
        for step in node["$ref"].removeprefix("#/").split("/"):
            target = target[step.replace("~1", "/").replace("~0", "~")]
        node = target
    return node


def validator(schema):
    """With the document around it, so that its references are found."""
    whole = {**schema, "components": DOCUMENT["components"]}
    return jsonschema.Draft202012Validator(whole)


def operation_of(method, path):
    path = path.partition("?")[0]
    for template, item in DOCUMENT["paths"].items():
        pattern = "[^/]+".join(map(re.escape, re.split(r"\{[^}]*\}", template)))
        if re.fullmatch(pattern, path):
            return item.get(method.lower())
    return None


def complaint(method, path, status, headers, body):
    """What is wrong, or None. What is not described (other paths and methods) has to be refused."""
    operation = operation_of(method, path)
    if operation is None:
        return None if status in (204, 404, 405) else f"{status}, but it is not described"
    if str(status) not in operation["responses"]:
        return f"status {status} is not described"
    answer = resolve(operation["responses"][str(status)])
    for name, header in answer.get("headers", {}).items():
        if resolve(header) and name.lower() not in headers:
            return f"no {name}"
    if method == "HEAD" or "content" not in answer:
        return None
    media = headers.get("content-type", "").partition(";")[0]
    if media not in answer["content"]:
        return f"content type {media!r} is not described"
    if "json" not in media:
        return None
    for error in validator(answer["content"][media]["schema"]).iter_errors(body):
        return f"{error.json_path}: {error.message[:200]}"
    return None


def test(check):
    """The document itself: schemas that are schemas, references that lead somewhere, and every code
    of a problem in it."""
    def walk(node):
        if isinstance(node, dict):
            if "$ref" in node:
                check(f"{node['$ref']} is there", resolve(node))
            for value in node.values():
                walk(value)
        elif isinstance(node, list):
            for value in node:
                walk(value)
    walk(DOCUMENT)
    for name, schema in DOCUMENT["components"]["schemas"].items():
        try:
            jsonschema.Draft202012Validator.check_schema(schema)
            check(f"schema {name}", True)
        except jsonschema.SchemaError as error:
            check(f"schema {name}", False, error)
    problems = (pathlib.Path(__file__).parents[2] / "src/api/problems.def").read_text()
    codes = set(re.findall(r"^X\((\w+),", problems, re.M)) - {"KEY_REFUSED"}
    described = set(DOCUMENT["components"]["schemas"]["Problem"]["properties"]["code"]["enum"])
    check("all codes are described, and no others", codes == described, codes ^ described)
