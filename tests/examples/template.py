"""A CloudFormation template with its functions resolved, for given parameters. GetAtt and Ref of a
resource give made-up but well-formed values (NAMES); one that is not there is an error."""

import re

from cfnlint.decode import cfn_yaml

PSEUDO = {
    "AWS::Partition": "aws", "AWS::Region": "eu-west-1", "AWS::AccountId": "123456789012",
    "AWS::StackName": "parthaul", "AWS::URLSuffix": "amazonaws.com",
}
NO_VALUE = object()


def plain(node):
    """Without the line numbers that cfn-lint's reader keeps in its texts and lists."""
    if isinstance(node, dict):
        return {str(name): plain(value) for name, value in node.items()}
    if isinstance(node, list):
        return [plain(value) for value in node]
    return str(node) if isinstance(node, str) else node


class Template:
    def __init__(self, path, parameters, names):
        self.document = plain(cfn_yaml.load(str(path)))
        declared = self.document["Parameters"]
        unknown = set(parameters) - set(declared)
        if unknown:
            raise KeyError(f"no such parameter: {unknown}")
        self.values = {name: str(parameters.get(name, row.get("Default")))
                       for name, row in declared.items()}
        for name, row in declared.items():
            if name not in parameters and "Default" not in row:
                raise KeyError(f"no value for {name}")
            complaint = self.why_not(name, self.values[name])
            if complaint:
                raise ValueError(f"{name}: {complaint}")
        self.names = names

    def why_not(self, name, value):
        """What CloudFormation would say to this value of a parameter; None when it would take it."""
        row = self.document["Parameters"][name]
        if "AllowedValues" in row and value not in [str(v) for v in row["AllowedValues"]]:
            return "is none of the allowed values"
        if "AllowedPattern" in row and not re.fullmatch(row["AllowedPattern"], value):
            return "does not have the allowed pattern"
        if not row.get("MinLength", 0) <= len(value) <= row.get("MaxLength", 1 << 20):
            return "is too short or too long"
        if row["Type"] == "Number":
            if not re.fullmatch(r"-?[0-9]+", value):
                return "is no number"
            if not row.get("MinValue", int(value)) <= int(value) <= row.get("MaxValue", int(value)):
                return "is out of range"
        return None

    def broken_rules(self):
        """The descriptions of the Rules that the parameters break."""
        return [a["AssertDescription"] for rule in self.document.get("Rules", {}).values()
                for a in rule["Assertions"] if not self.truth(a["Assert"])]

    def truth(self, node):
        if isinstance(node, dict) and len(node) == 1:
            (function, value), = node.items()
            if function == "Condition":
                return self.truth(self.document["Conditions"][value])
            if function == "Fn::Equals":
                return self.resolve(value[0]) == self.resolve(value[1])
            if function == "Fn::Not":
                return not self.truth(value[0])
            if function == "Fn::And":
                return all(self.truth(v) for v in value)
            if function == "Fn::Or":
                return any(self.truth(v) for v in value)
        raise KeyError(f"condition {node}")

    def ref(self, name):
        if name == "AWS::NoValue":
            return NO_VALUE
        if name in PSEUDO:
            return PSEUDO[name]
        return self.values[name] if name in self.values else self.names[name]

    def sub(self, value):
        text, given = value if isinstance(value, list) else (value, {})
        given = {name: self.resolve(v) for name, v in given.items()}

        def replace(match):
            name = match.group(1)
            return given[name] if name in given else self.names[name] if "." in name else self.ref(name)

        return re.sub(r"\$\{([^!}][^}]*)\}", replace, text)

    def resolve(self, node):
        if isinstance(node, list):
            resolved = [self.resolve(v) for v in node]
            return [v for v in resolved if v is not NO_VALUE]
        if not isinstance(node, dict):
            return node
        if len(node) == 1:
            (function, value), = node.items()
            if function == "Ref":
                return self.ref(value)
            if function == "Fn::GetAtt":
                return self.names[value if isinstance(value, str) else ".".join(value)]
            if function == "Fn::Sub":
                return self.sub(value)
            if function == "Fn::Join":
                return value[0].join(self.resolve(value[1]))
            if function == "Fn::Split":
                return self.resolve(value[1]).split(value[0])
            if function == "Fn::Select":
                return self.resolve(value[1])[int(value[0])]
            if function == "Fn::If":
                return self.resolve(value[1] if self.truth({"Condition": value[0]}) else value[2])
            if function.startswith("Fn::"):
                raise KeyError(f"function {function}")
        resolved = {name: self.resolve(v) for name, v in node.items()}
        return {name: v for name, v in resolved.items() if v is not NO_VALUE}

    def properties(self, resource):
        return self.resolve(self.document["Resources"][resource]["Properties"])
