"""
Texts of users never reach a shell, a template or a log line unescaped.

The test walks the sources: constructs that could pass a text on unescaped must not occur, except
where they are known to be harmless. Other tests check the outputs themselves.
"""

import ast
import functools
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DEPLOYED = ("functions", "shared")
FILES = sorted(
    path.relative_to(ROOT) for name in (*DEPLOYED, "cli") for path in (ROOT / name).rglob("*.py")
)

COMMANDS = [path for path in FILES if path.parts[0] == "cli"]

RUN_TEXT = {"eval", "exec", "compile", "__import__"}
SHELLS = {"os.system", "os.popen", "subprocess.getoutput", "subprocess.getstatusoutput"}
UNSAFE_IMPORTS = {
    *("pickle", "marshal", "shelve", "dill", "code", "codeop", "pty", "pexpect", "xmlrpc"),
    *("telnetlib", "ftplib", "xml.dom", "xml.sax", "xml.etree", "importlib"),
}
STARTS_PROCESSES = {Path("cli/report/page/pictures.py")}
"""It runs the browser that takes a picture of the report; nobody but a developer calls it."""

IMPORTS_BY_NAME = {(Path("cli/app.py"), "importlib")}
"""It imports the modules of its own table of commands, and no name that a user enters."""

WRITES_HTML = {Path("cli/report/page/pages.py")}
"""Its template escapes all by itself; its ``Markup`` is files of ours, and JSON without ``<``."""

PRINTS = {Path("cli/terminal.py")}
"""It makes every console, and none that reads markup."""

HTML = re.compile(r"</?[a-zA-Z][a-zA-Z0-9]*[\s>/]")
UNSAFE_YAML = {
    *("Loader", "FullLoader", "UnsafeLoader", "CLoader", "CFullLoader", "CUnsafeLoader"),
    *("unsafe_load", "unsafe_load_all", "full_load", "full_load_all"),
}
"""Those make objects. PyYAML reads nothing without a loader that is named."""
LOGS = {"debug", "info", "warning", "error", "exception", "critical", "log"}


@functools.cache
def nodes(path: Path) -> list[ast.AST]:
    """Return the nodes of a file, which is read once."""
    return list(ast.walk(ast.parse((ROOT / path).read_text("utf-8"))))


def name_of(node: ast.AST) -> str:
    """Return the dotted name of the callee; empty if it has none."""
    match node:
        case ast.Name(id=name):
            return name
        case ast.Attribute(value=value, attr=name):
            return f"{name_of(value)}.{name}"
    return ""


def calls(path: Path) -> Iterator[tuple[str, ast.Call]]:
    for node in nodes(path):
        if isinstance(node, ast.Call):
            yield name_of(node.func), node


def imports(path: Path) -> set[str]:
    found: set[str] = set()
    for node in nodes(path):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        if isinstance(node, ast.ImportFrom):
            found.add(node.module or "")
    return found


def formats(node: ast.AST) -> Iterator[str]:
    """Yield the fixed part of a text into which something is put."""
    match node:
        case ast.JoinedStr(values=parts) if len(parts) > 1:
            yield "".join(str(each.value) for each in parts if isinstance(each, ast.Constant))
        case ast.BinOp(left=ast.Constant(value=str(text)), op=ast.Mod()):
            yield text
        case ast.Call(func=ast.Attribute(value=ast.Constant(value=str(text)), attr="format")):
            yield text


def is_true(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and node.value is True


def keywords(call: ast.Call) -> dict[str, str]:
    return {each.arg: ast.unparse(each.value) for each in call.keywords if each.arg}


def test_sources_run_no_text() -> None:
    found = [
        (path, name, call.lineno)
        for path in FILES
        for name, call in calls(path)
        if name in RUN_TEXT | SHELLS or any(each.arg == "shell" for each in call.keywords)
    ]

    assert found == []


def test_sources_import_no_module_that_runs_its_input() -> None:
    found = [
        (path, module)
        for path in FILES
        for module in imports(path)
        for unsafe in UNSAFE_IMPORTS
        if module == unsafe or module.startswith(f"{unsafe}.")
    ]

    assert set(found) == IMPORTS_BY_NAME


def test_deployed_code_starts_no_process() -> None:
    starting = {path for path in FILES if imports(path) & {"subprocess", "multiprocessing"}}

    assert starting == STARTS_PROCESSES
    assert all(path.parts[0] not in DEPLOYED for path in starting)


def test_yaml_is_read_as_plain_values_only() -> None:
    named = {
        (path, node.attr)
        for path in FILES
        for node in nodes(path)
        if isinstance(node, ast.Attribute) and node.attr in UNSAFE_YAML
    }

    assert named == set()


def test_no_html_and_no_object_is_made_of_texts() -> None:
    found = [
        (path, text)
        for path in FILES
        for node in nodes(path)
        for text in formats(node)
        if HTML.search(text) or "apiVersion:" in text
    ]
    marked = {
        path for path in FILES for name, _ in calls(path) if name.rpartition(".")[2] == "Markup"
    }

    assert found == []
    assert marked == WRITES_HTML


def test_template_escapes() -> None:
    (path,) = WRITES_HTML
    ((_, call),) = [(name, call) for name, call in calls(path) if name == "jinja2.Environment"]

    assert keywords(call)["autoescape"] == "True"
    for template in (ROOT / path).parent.glob("*.html"):
        text = template.read_text("utf-8")
        assert not re.search(r"\|\s*safe\b|autoescape\s+false", text)
        # An attribute without quotes ends at a blank, even if its value is escaped.
        assert not re.search(r"=\s*\{\{", text)
    for script in (ROOT / path).parent.glob("*.js"):
        text = script.read_text("utf-8")
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(", text)


def test_no_console_reads_markup() -> None:
    consoles = [
        (path, keywords(call))
        for path in COMMANDS
        for name, call in calls(path)
        if name.rpartition(".")[2] == "Console"
    ]
    reading = [
        (path, name, call.lineno)
        for path in COMMANDS
        for name, call in calls(path)
        if name.rpartition(".")[2] in {"from_markup", "render_markup"}
        or any(each.arg == "markup" and is_true(each.value) for each in call.keywords)
        or name in {"print", "rich.print"}
    ]

    assert {path for path, _ in consoles} == PRINTS
    assert {(given["markup"], given["emoji"]) for _, given in consoles} == {("False", "False")}
    assert reading == []


def test_log_line_s_text_is_fixed_and_what_is_put_in_is_no_part_of_it() -> None:
    lines = [
        (path, method, call)
        for path in FILES
        for owner, _, method, call in ((*name.rpartition("."), call) for name, call in calls(path))
        if owner.endswith("logger") and method in LOGS
    ]

    assert lines
    for path, method, call in lines:
        text = call.args[1 if method == "log" else 0]
        assert isinstance(text, ast.Constant), f"{path}, line {call.lineno}"


def test_walk_sees_what_it_looks_for() -> None:
    """Else it could not fail."""
    tree = ast.walk(ast.parse("f'<b>{x}</b>'; 'a %s' % x; '<i>{}</i>'.format(x); f'plain'"))

    assert [text for node in tree for text in formats(node)] == ["<b></b>", "a %s", "<i>{}</i>"]
