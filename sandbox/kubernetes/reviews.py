"""Reviews: questions about access, which are answered and not stored."""

from sandbox.kubernetes.authorization import Access, Authorizer
from sandbox.kubernetes.bodies import Body, items, mapping
from sandbox.kubernetes.calls import Answer, Call, Caller
from sandbox.kubernetes.decoding import decode_body


def answer_review(authorizer: Authorizer, call: Call) -> Answer:
    """
    Answer who somebody is, or what they may do.

    Raises:
        ApiError: 400, for a body that cannot be read.
    """
    decoded = decode_body(call.resource, call.body, call.options.field_validation)
    body = decoded.body
    if call.resource.kind == "SelfSubjectReview":
        groups = list(call.caller.groups)
        body["status"] = {"userInfo": {"username": call.caller.name, "groups": groups}}
    else:
        spec = mapping(body, "spec")
        who = call.caller
        if call.resource.kind == "SubjectAccessReview":
            who = Caller(str(spec.get("user", "")), tuple(items(spec, "groups")))
        body["status"] = {"allowed": authorizer.allows(who, _access(spec))}
    return Answer(body, 201, list(decoded.warnings))


def _access(spec: Body) -> Access:
    path = mapping(spec, "nonResourceAttributes")
    if path:
        return Access(path.get("verb", ""), path=path.get("path", ""))
    wanted = mapping(spec, "resourceAttributes")
    resource = wanted.get("resource", "")
    if wanted.get("subresource"):
        resource = f"{resource}/{wanted['subresource']}"
    return Access(
        wanted.get("verb", ""),
        wanted.get("group", ""),
        resource,
        wanted.get("namespace", ""),
        wanted.get("name", ""),
    )
