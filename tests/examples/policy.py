"""What IAM would say to a request: small, and only as much of IAM as the template uses. Anything
else in a policy is an error here, so that nothing is passed over that would mean something on AWS.

The rules are those of "Policy evaluation logic" in IAM's guide, for requests within one account: an
explicit Deny anywhere wins; a session has what its role's policies and its session policy both allow;
a resource's policy that allows the role's ARN is narrowed by the session policy too, one that allows
the session's own ARN is not.
"""

import dataclasses
import re


class NotUnderstood(Exception):
    pass


@dataclasses.dataclass(frozen=True)
class Caller:
    """Who asks: a role's session (role and session ARN), an AWS service, or nobody (anonymous)."""

    role: str = ""
    session: str = ""
    service: str = ""

    @property
    def account(self):
        return self.role.split(":")[4] if self.role else ""


@dataclasses.dataclass(frozen=True)
class Request:
    action: str
    resource: str
    caller: Caller = Caller()
    context: dict = dataclasses.field(default_factory=dict)


def as_list(value):
    return value if isinstance(value, list) else [value]


# ---- Patterns -------------------------------------------------------------------------------------


def matches(pattern, text, ignore_case=False):
    """`*` and `?` are wildcards; `${*}`, `${?}` and `${$}` mean the character itself."""
    expression = ""
    for piece in re.split(r"(\$\{[^}]*\}|\*|\?)", pattern):
        if piece in ("${*}", "${?}", "${$}"):
            expression += re.escape(piece[2])
        elif piece.startswith("${"):
            raise NotUnderstood(f"policy variable {piece}")
        else:
            expression += {"*": ".*", "?": "."}.get(piece, re.escape(piece))
    return re.fullmatch(expression, text, re.DOTALL | (re.IGNORECASE if ignore_case else 0)) is not None


def any_matches(patterns, text, ignore_case=False):
    return any(matches(pattern, text, ignore_case) for pattern in as_list(patterns))


# ---- Conditions -----------------------------------------------------------------------------------


def is_true(text):
    return {"true": True, "false": False}[str(text).lower()]


OPERATORS = {
    "Bool": lambda have, want: is_true(have) == is_true(want),
    "StringEquals": lambda have, want: have == want,
    "StringLike": lambda have, want: matches(want, have),
    "ArnLike": lambda have, want: matches(want, have),
    "NumericLessThan": lambda have, want: float(have) < float(want),
    "NumericGreaterThan": lambda have, want: float(have) > float(want),
}


def condition_holds(condition, context):
    """All operators and all keys have to hold, of a key's values one. A key that the request does not
    have holds for none of these operators but Null."""
    keys = {name.lower(): str(value) for name, value in context.items()}
    for operator, tests in condition.items():
        for key, wanted in tests.items():
            have = keys.get(key.lower())
            if operator == "Null":
                good = any((have is None) == is_true(want) for want in as_list(wanted))
            elif operator in OPERATORS:
                good = have is not None and any(OPERATORS[operator](have, str(want))
                                                for want in as_list(wanted))
            else:
                raise NotUnderstood(f"condition operator {operator}")
            if not good:
                return False
    return True


# ---- Statements -----------------------------------------------------------------------------------


def principal_rank(principal, caller):
    """0: not meant; 1: meant as everybody, as the account's role or as a service; 2: meant as this
    very session."""
    if principal == "*":
        return 1
    rank = 0
    for kind, names in principal.items():
        for name in as_list(names):
            if kind == "Service":
                rank = max(rank, int(bool(caller.service) and name == caller.service))
            elif kind == "AWS" and name == "*":
                rank = max(rank, 1)
            elif kind == "AWS":
                if "*" in name or "?" in name or not name.startswith("arn:"):
                    raise NotUnderstood(f"principal {name}")
                if name.endswith(":root"):  # leaves it to the account's own policies
                    rank = max(rank, int(name.split(":")[4] == caller.account))
                elif caller.role and name == caller.role:
                    rank = max(rank, 1)
                elif caller.session and name == caller.session:
                    rank = max(rank, 2)
            else:
                raise NotUnderstood(f"principal of the kind {kind}")
    return rank


KNOWN = {"Sid", "Effect", "Principal", "Action", "NotAction", "Resource", "NotResource", "Condition"}


def effects(policy, request, of_resource=False):
    """The effects of the statements that apply, as (effect, principal's rank). A trust policy has no
    Resource: it is the role's."""
    if policy.get("Version") != "2012-10-17" or set(policy) - {"Version", "Id", "Statement"}:
        raise NotUnderstood("another version of the language, or another member")
    for statement in as_list(policy["Statement"]):
        if set(statement) - KNOWN or statement["Effect"] not in ("Allow", "Deny"):
            raise NotUnderstood(f"statement {statement}")
        if ("Principal" in statement) != of_resource:
            raise NotUnderstood("a principal where there is none, or none where there is one")
        if ("Action" in statement) == ("NotAction" in statement):
            raise NotUnderstood("one of Action and NotAction")
        if "Action" in statement:
            applies = any_matches(statement["Action"], request.action, True)
        else:
            applies = not any_matches(statement["NotAction"], request.action, True)
        if "Resource" in statement:
            applies = applies and any_matches(statement["Resource"], request.resource)
        elif "NotResource" in statement:
            applies = applies and not any_matches(statement["NotResource"], request.resource)
        elif not of_resource:
            raise NotUnderstood("no Resource")
        rank = principal_rank(statement["Principal"], request.caller) if of_resource else 1
        if applies and rank and condition_holds(statement.get("Condition", {}), request.context):
            yield statement["Effect"], rank


# ---- The decision ---------------------------------------------------------------------------------


def is_allowed(request, identity=(), session=None, resource=None):
    """`identity`: the policies of the caller's role; `session`: its session policy, None without
    one; `resource`: the bucket's policy, or the role's trust policy."""
    of_identity = [e for policy in identity for e, _ in effects(policy, request)]
    of_session = [e for e, _ in effects(session, request)] if session else ["Allow"]
    of_resource = list(effects(resource, request, True)) if resource else []
    if "Deny" in of_identity + of_session or any(e == "Deny" for e, _ in of_resource):
        return False
    if any(rank == 2 for _, rank in of_resource):
        return True
    granted = "Allow" in of_identity or bool(of_resource)
    return granted and "Allow" in of_session


def may_assume(request, identity, trust):
    """A role's trust policy has to allow it in any case. Where it names the caller's role, that is
    enough on AWS; we want the caller's own policy to say so too, as a role should show what it does."""
    trusted = [e for e, _ in effects(trust, request, True)]
    if "Deny" in trusted or "Allow" not in trusted:
        return False
    if request.caller.service:
        return True
    return is_allowed(request, identity)
