"""Functions of Python, torch, numpy and others that run code, write or connect when a pickle calls them.

Each row is one that a scanner's list of bad names was found to lack: the advisory, the name, and arguments that do
nothing. dotpt has no list of bad names to be on: what is not known to be harmless is refused.
"""

from __future__ import annotations

from tests.attacks.attack import EVIL, FOUR_FLOATS, Attack, called, called4, value
from tests.corpus import pickles as p
from tests.corpus.torch_zip import pt

_CODE = "print(1)"
_NOWHERE = "no-such-file"
Row = tuple[str, str, str, tuple[object, ...]]

# A row is a gadget, and its call is read along it.
# fmt: off
#: Advisory, module, name, arguments. The text of four advisories that picklescan's pull request 53 closed was not to be
#: seen (GHSA-x843-g5mx-g377, GHSA-3329-ghmp-jmv5, GHSA-cffc-mxrf-mhh4, GHSA-rrxm-2pvv-m66x); its names are here.
PICKLESCAN: tuple[Row, ...] = (
    ("CVE-2025-1716 GHSA-655q-fx9r-782v", "pip", "main", (["--version"],)),
    ("CVE-2025-46417 GHSA-93mv-x874-956g", "ssl", "get_server_certificate", ((_NOWHERE, 443),)),
    ("CVE-2025-46417 GHSA-93mv-x874-956g linecache", "linecache", "getline", (_NOWHERE, 1)),
    ("GHSA-v7x6-rv5q-mhwc", "timeit", "timeit", (_CODE, _CODE)),
    ("GHSA-v7x6-rv5q-mhwc main", "timeit", "main", ([_CODE],)),
    ("GHSA-4r9r-ch6f-vxmx", "torch.utils.bottleneck.__main__", "run_cprofile", (_CODE, {})),
    ("GHSA-4whj-rm5r-c2v8", "torch.utils.bottleneck.__main__", "run_autograd_prof", (_CODE, {})),
    ("GHSA-86cj-95qr-2p4f", "torch._dynamo.guards", "GuardBuilder.get", (None, _CODE)),
    ("GHSA-f4x7-rfwp-v3xw", "torch.fx.experimental.symbolic_shapes", "ShapeEnv.evaluate_guards_expression",
     (None, _CODE, [])),
    ("GHSA-f745-w6jp-hpxx", "torch.utils.collect_env", "run", ("true",)),
    ("GHSA-jhph-76pp-mggw", "torch.utils.collect_env", "run_and_read_all", (None, "true")),
    ("GHSA-h3qp-7fh3-f8h4", "torch.utils.data.datapipes.utils.decoder", "basichandlers", ("pickle", EVIL)),
    ("GHSA-vr7h-p6mm-wpmh", "torch.jit.unsupported_tensor_ops", "execWrapper", (_CODE, {}, {})),
    ("GHSA-vv6j-3g6g-2pvj", "torch.utils._config_module", "ConfigModule.load_config", (None, EVIL)),
    ("GHSA-5qwp-399c-mjwf", "trace", "Trace.run", (None, _CODE)),
    ("GHSA-g344-hcph-8vgg", "trace", "Trace.runctx", (None, _CODE)),
    ("GHSA-x696-vm39-cp64", "profile", "Profile.run", (None, _CODE)),
    ("GHSA-6vqj-c2q5-j97w", "profile", "Profile.runctx", (None, _CODE, {}, {})),
    ("GHSA-f54q-57x4-jg88", "lib2to3.pgen2.grammar", "Grammar.loads", (None, EVIL)),
    ("GHSA-3vg9-h568-4w9m", "idlelib.debugobj", "ObjectTreeItem.SetText", (None, _CODE)),
    ("GHSA-6w4w-5w54-rjvr", "idlelib.autocomplete", "AutoComplete.get_entity", (None, _CODE)),
    ("GHSA-7cq8-mj8x-j263", "idlelib.autocomplete", "AutoComplete.fetch_completions", (None, _CODE, 1)),
    ("GHSA-cj3c-v495-4xqh", "code", "InteractiveInterpreter.runcode", (None, _CODE)),
    ("GHSA-8r4j-24qv-fmq9", "idlelib.calltip", "Calltip.fetch_tip", (None, _CODE)),
    ("GHSA-9xph-j2h6-g47v", "idlelib.calltip", "get_entity", (_CODE,)),
    ("GHSA-xp4f-hrf8-rxw7", "ensurepip", "_run_pip", (["--version"],)),
    ("GHSA-p9w7-82w4-7q8m", "lib2to3.pgen2.pgen", "ParserGenerator.make_label", (None, None, "'1'")),
    ("GHSA-m869-42cg-3xwr", "idlelib.run", "Executive.runcode", (None, _CODE)),
    ("GHSA-j343-8v2j-ff7w", "idlelib.pyshell", "ModifiedInterpreter.runcommand", (None, _CODE)),
    ("GHSA-3gf5-cxq9-w223", "idlelib.pyshell", "ModifiedInterpreter.runcode", (None, _CODE)),
    ("GHSA-fqq6-7vqf-w3fg", "doctest", "debug_script", (_CODE,)),
    ("GHSA-9w88-8rmg-7g2p", "cProfile", "runctx", (_CODE, {}, {})),
    ("GHSA-49gj-c84q-6qm9", "cProfile", "run", (_CODE,)),
    ("GHSA-q77w-mwjj-7mqx", "asyncio.unix_events", "_UnixSubprocessTransport._start",
     ({}, "true", True, None, None, None, 0)),
    ("CVE-2025-10157 GHSA-f7qq-56ww-84cr", "asyncio.unix_events", "_UnixSubprocessTransport._start", ({}, "true")),
    ("CVE-2025-10157 a submodule of a bad module", "urllib.request", "urlopen", (_NOWHERE,)),
    ("CVE-2025-71321 GHSA-m273-6v24-x4m4", "distutils.file_util", "write_file", (_NOWHERE, [])),
    ("GHSA-4675-36f9-wf6r", "ctypes", "CDLL", (_NOWHERE,)),
    ("GHSA-4675-36f9-wf6r WinDLL", "ctypes", "WinDLL", (_NOWHERE,)),
    ("CVE-2025-71320 GHSA-84r2-jw7c-4r5q", "pydoc", "locate", ("os",)),
    ("GHSA-vqmv-47xg-9wpr", "pty", "spawn", (["true"],)),
    ("CVE-2025-71322 GHSA-hgrh-qx5j-jfwx", "pty", "spawn", ("true",)),
    ("CVE-2025-71339 GHSA-r8g5-cgf2-4m4m", "numpy.f2py.crackfortran", "getlincoef", (_CODE, {})),
    ("CVE-2025-71339 GHSA-6556-fwc2-fg2p", "numpy.f2py.crackfortran", "_eval_length", (_CODE, {})),
    ("PR 53 myeval", "numpy.f2py.crackfortran", "myeval", (_CODE,)),
    ("PR 53 itemgetter", "operator", "itemgetter", (0,)),
    ("PR 53 load_f2cmap_file", "numpy.f2py.capi_maps", "load_f2cmap_file", (_NOWHERE,)),
    ("PR 53 pipepager", "pydoc", "pipepager", ("", "true")),
    ("GHSA-955r-x9j8-7rhh", "_operator", "methodcaller", ("system", "true")),
    ("GHSA-46h3-79wf-xr6c", "_operator", "attrgetter", ("system",)),
    ("GHSA-9726-w42j-3qjr", "_io", "FileIO", (_NOWHERE, "r")),
    ("GHSA-9726-w42j-3qjr urllib", "urllib.request", "urlretrieve", (_NOWHERE,)),
    ("GHSA-9m3x-qqw2-h32h", "cloudpickle.cloudpickle", "_make_function", (None, None, None, None, None)),
    ("GHSA-9m3x-qqw2-h32h type", "cloudpickle.cloudpickle", "_builtin_type", ("CodeType",)),
    ("GHSA-9m3x-qqw2-h32h import", "cloudpickle.cloudpickle", "subimport", ("os",)),
    ("GHSA-9m3x-qqw2-h32h code", "types", "CodeType", (0, 0, 0, 0, 0, 0, b"", (), (), (), "", "", 1, b"")),
    ("CVE-2026-56304 GHSA-m7j5-r2p5-c39r", "logging", "FileHandler", (_NOWHERE,)),
    ("GHSA-7wx9-6375-f5wh", "profile", "run", (_CODE,)),
    ("GHSA-vvpj-8cmc-gx39", "pkgutil", "resolve_name", ("os:system",)),
    ("CVE-2026-56315 GHSA-g38g-8gr9-h9xp uuid", "uuid", "_get_command_stdout", ("true",)),
    ("CVE-2026-56315 GHSA-g38g-8gr9-h9xp imaplib", "imaplib", "IMAP4_stream", ("true",)),
    ("CVE-2026-56315 GHSA-g38g-8gr9-h9xp _pyrepl", "_pyrepl.pager", "pipe_pager", ("", "true")),
    ("CVE-2026-56315 GHSA-g38g-8gr9-h9xp _osx_support", "_osx_support", "_read_output", ("true",)),
    ("CVE-2026-56315 GHSA-g38g-8gr9-h9xp _aix_support", "_aix_support", "_read_cmd_output", ("true",)),
    ("CVE-2026-56315 GHSA-g38g-8gr9-h9xp test", "test.support.script_helper", "assert_python_ok", ("-c pass",)),
    ("picklescan issue 66", "importlib", "import_module", ("os",)),
    ("picklescan issue 66 find_spec", "importlib.util", "find_spec", ("os",)),
    ("picklescan runpy", "runpy", "_run_code", (_CODE, {})),
    ("picklescan bdb", "bdb", "Bdb.run", (None, _CODE)),
    ("picklescan torch codecache", "torch._inductor.codecache", "compile_file", ("", "", ["true"])),
    ("picklescan partial of load", "functools", "partial", (None, "config.json")),
    ("picklescan load of another file", "torch.serialization", "load", (_NOWHERE,)),
    ("picklescan venv", "venv", "create", (_NOWHERE,)),
    ("picklescan numpy runstring", "numpy.testing._private.utils", "runstring", (_CODE, {})),
    ("picklescan httplib", "httplib", "HTTPSConnection", (_NOWHERE,)),
    ("picklescan socket", "socket", "create_connection", ((_NOWHERE, 1),)),
    ("picklescan subprocess", "subprocess", "run", (["true"],)),
    ("picklescan sys.exit", "sys", "exit", (0,)),
    ("picklescan commands", "commands", "getoutput", ("true",)),
    ("picklescan posix", "posix", "system", ("true",)),
    ("picklescan nt", "nt", "system", ("true",)),
    ("picklescan shutil", "shutil", "rmtree", (_NOWHERE,)),
    ("picklescan requests", "requests.api", "get", (_NOWHERE,)),
    ("picklescan aiohttp", "aiohttp", "request", ("GET", _NOWHERE)),
    ("picklescan webbrowser", "webbrowser", "open", (_NOWHERE,)),
    ("picklescan pickle.loads", "pickle", "loads", (EVIL,)),
    ("picklescan _pickle.loads", "_pickle", "loads", (EVIL,)),
    ("picklescan apply", "__builtin__", "apply", (None, ())),
    ("picklescan execfile", "__builtin__", "execfile", (_NOWHERE,)),
    ("picklescan breakpoint", "builtins", "breakpoint", ()),
    ("picklescan compile", "builtins", "compile", (_CODE, "", "exec")),
    ("picklescan open", "builtins", "open", (_NOWHERE,)),
)

FICKLING: tuple[Row, ...] = (
    ("CVE-2025-67747 GHSA-565g-hwwr-4pp3", "marshal", "loads", (b"N",)),
    ("CVE-2025-67747 GHSA-565g-hwwr-4pp3 types", "types", "FunctionType", (None, {})),
    ("CVE-2025-67748 GHSA-r7v6-mfhq-g3m2", "pty", "spawn", ("true",)),
    ("CVE-2026-22606 GHSA-wfq2-52f7-7qvj", "runpy", "run_path", (_NOWHERE,)),
    ("CVE-2026-22607 GHSA-p523-jq9w-64x9", "cProfile", "run", (_CODE,)),
    ("CVE-2026-22608 GHSA-5hvc-6wx8-mvv4", "ctypes", "CDLL", (_NOWHERE,)),
    ("CVE-2026-22608 GHSA-5hvc-6wx8-mvv4 pydoc", "pydoc", "locate", ("os.system",)),
    ("CVE-2026-22612 GHSA-h4rm-mm56-xf63", "builtins", "__import__", ("os",)),
    ("GHSA-q5qq-mvfm-j35x importlib", "importlib", "import_module", ("os",)),
    ("GHSA-q5qq-mvfm-j35x code", "code", "InteractiveInterpreter", ()),
    ("GHSA-q5qq-mvfm-j35x multiprocessing", "multiprocessing.util", "spawnv_passfds", (b"true", [], ())),
    ("GHSA-5hwf-rc88-82xm uuid", "uuid", "_get_command_stdout", ("echo", "x")),
    ("GHSA-5hwf-rc88-82xm aix", "_aix_support", "_read_cmd_output", ("echo x",)),
    ("GHSA-5hwf-rc88-82xm osx", "_osx_support", "_find_build_tool", ("x",)),
    ("GHSA-wccx-j62j-r448", "_pickle", "Unpickler", (None,)),
    ("GHSA-fphw-536r-4p88", "pickle", "_loads", (EVIL,)),
    ("GHSA-fphw-536r-4p88 class", "pickle", "_Unpickler", (None,)),
    ("GHSA-r48f-3986-4f9c linecache", "linecache", "getlines", (_NOWHERE,)),
    ("GHSA-r48f-3986-4f9c difflib", "difflib", "_test", ()),
    ("GHSA-r48f-3986-4f9c gc", "gc", "get_objects", ()),
    ("GHSA-5cxw-w2xg-2m8h", "platform", "_syscmd_ver", ()),
    ("GHSA-m6fh-58r7-x697 _posixsubprocess", "_posixsubprocess", "fork_exec", ()),
    ("GHSA-m6fh-58r7-x697 site", "site", "addsitedir", (_NOWHERE,)),
    ("GHSA-m6fh-58r7-x697 atexit", "atexit", "register", (None,)),
    ("GHSA-pc6j-px3p-rrj4 unittest", "unittest.loader", "TestLoader.loadTestsFromName", (None, "os.system")),
    ("GHSA-pc6j-px3p-rrj4 mock", "unittest.mock", "_importer", ("os",)),
    ("GHSA-pc6j-px3p-rrj4 doctest", "doctest", "debug_src", (_CODE,)),
    ("GHSA-mhc9-48gj-9gp3 smtplib", "smtplib", "SMTP", (_NOWHERE,)),
    ("GHSA-6ggj-6f2q-f7mx", "_interpreters", "create", ()),
    ("GHSA-6ggj-6f2q-f7mx older", "_xxsubinterpreters", "create", ()),
    ("GHSA-6ggj-6f2q-f7mx run", "_interpreters", "run_string", (0, _CODE)),
    ("GHSA-cffv-grgg-g429 torch.load", "torch", "load", (_NOWHERE,)),
    ("GHSA-cffv-grgg-g429 torch.hub", "torch.hub", "load", (_NOWHERE, _NOWHERE)),
    ("GHSA-cffv-grgg-g429 numpy.distutils", "numpy.distutils.exec_command", "exec_command", ("true",)),
    ("GHSA-cffv-grgg-g429 compile", "torch", "compile", (None,)),
    ("fickling ftplib", "ftplib", "FTP", (_NOWHERE,)),
    ("fickling poplib", "poplib", "POP3", (_NOWHERE,)),
    ("fickling telnetlib", "telnetlib", "Telnet", (_NOWHERE,)),
    ("fickling nntplib", "nntplib", "NNTP", (_NOWHERE,)),
    ("fickling codeop", "codeop", "compile_command", (_CODE,)),
    ("fickling imp", "imp", "load_source", ("x", _NOWHERE)),
    ("fickling _imp", "_imp", "create_dynamic", (None,)),
    ("fickling frozen importlib", "_frozen_importlib", "_gcd_import", ("os",)),
    ("fickling inspect", "inspect", "getattr_static", (None, "x")),
    ("fickling tempfile", "tempfile", "mkstemp", ()),
    ("fickling pipes", "pipes", "Template", ()),
    ("fickling pexpect", "pexpect", "spawn", ("true",)),
    ("fickling dill", "dill", "loads", (EVIL,)),
    ("fickling joblib", "joblib", "load", (_NOWHERE,)),
)

MODELAUDIT: tuple[Row, ...] = (
    ("modelaudit poc25", "ctypes", "CDLL", (_NOWHERE,)),
    ("modelaudit poc26", "cProfile", "run", (_CODE,)),
    ("modelaudit poc27", "pdb", "run", (_CODE,)),
    ("modelaudit poc28", "timeit", "timeit", (_CODE,)),
    ("modelaudit poc29", "profile", "run", (_CODE,)),
    ("modelaudit poc30", "_thread", "start_new_thread", (None, ())),
    ("modelaudit poc31", "ctypes", "cast", (42, None)),
    ("modelaudit poc32", "linecache", "getline", (_NOWHERE, 1)),
    ("modelaudit poc33", "logging.config", "listen", (9999,)),
    ("modelaudit poc34", "zipimport", "zipimporter", (_NOWHERE,)),
    ("modelaudit dill", "dill._dill", "_create_function", (None, {})),
    ("modelaudit dill type", "dill._dill", "_load_type", ("CodeType",)),
    ("modelaudit types", "types", "ModuleType", ("x",)),
    ("modelaudit nt alias", "nt", "popen", ("true",)),
)

#: What loads another pickle, or a program, with torch's or numpy's own means, and torch's own advisories.
TORCH: tuple[Row, ...] = (
    ("CVE-2024-48063", "torch.distributed.nn.api.remote_module", "RemoteModule", (None, None)),
    ("CVE-2024-5480", "torch.distributed.rpc.internal", "_run_function", (None,)),
    ("CVE-2024-5480 PythonUDF", "torch.distributed.rpc.internal", "PythonUDF", (None, (), {})),
    ("CVE-2022-45907", "torch.jit.annotations", "parse_type_line", (_CODE, None, 0)),
    ("pytorch 189445", "builtins", "eval", (_CODE,)),
    ("pytorch 186073", "torch.export", "load", (_NOWHERE,)),
    ("torch.jit.load", "torch.jit._serialization", "load", (_NOWHERE,)),
    ("torch.package", "torch.package", "PackageImporter", (_NOWHERE,)),
    ("torch._C import_ir_module", "torch._C", "import_ir_module", (None, _NOWHERE)),
    ("torch from_file", "torch", "from_file", (_NOWHERE,)),
    ("torch storage from_file", "torch.storage", "UntypedStorage.from_file", (_NOWHERE,)),
    ("torch cpp_extension", "torch.utils.cpp_extension", "load_inline", ("x", "")),
    ("torch ops.load_library", "torch._ops", "_Ops.load_library", (None, _NOWHERE)),
    ("torch CompilationUnit", "torch.jit", "CompilationUnit", ("",)),
    ("torch legacy load", "torch.serialization", "_legacy_load", (None, None)),
    ("torch model_dump", "torch.utils.model_dump", "main", ([],)),
    ("numpy load", "numpy", "load", (_NOWHERE, None, True)),
    ("numpy fromfile", "numpy", "fromfile", (_NOWHERE,)),
    ("numpy memmap", "numpy", "memmap", (_NOWHERE,)),
    ("CVE-2019-6446 numpy", "numpy.lib.npyio", "load", (_NOWHERE,)),
    ("pandas read_pickle", "pandas", "read_pickle", (_NOWHERE,)),
    ("pandas eval", "pandas.core.computation.eval", "eval", (_CODE,)),
    ("sympy eval", "sympy.core.sympify", "sympify", (_CODE,)),
    ("sklearn joblib", "sklearn.externals.joblib", "load", (_NOWHERE,)),
    ("keras lambda", "keras.layers", "deserialize", ({},)),
    ("shelve", "shelve", "open", (_NOWHERE,)),
    ("xmlrpc", "xmlrpc.client", "ServerProxy", (_NOWHERE,)),
    ("sqlite", "sqlite3", "connect", (_NOWHERE,)),
    ("yaml", "yaml", "unsafe_load", (_CODE,)),
    ("faulthandler", "faulthandler", "_sigsegv", ()),
    ("signal", "signal", "raise_signal", (0,)),
    ("os.environ", "os", "getenv", ("HOME",)),
    ("pathlib write", "pathlib", "Path.write_text", (None, "")),
    ("zipfile", "zipfile", "ZipFile.extractall", (None,)),
    ("tarfile", "tarfile", "TarFile.extractall", (None,)),
    ("codecs.open", "codecs", "open", (_NOWHERE,)),
    ("fileinput", "fileinput", "input", (_NOWHERE,)),
    ("builtins.vars", "builtins", "vars", ()),
    ("builtins.globals", "__builtin__", "globals", ()),
    ("builtins.map", "builtins", "map", (None, [])),
    ("builtins.type", "builtins", "type", ("X", (), {})),
    ("builtins.setattr", "builtins", "setattr", (None, "x", 1)),
    ("builtins.delattr", "builtins", "delattr", (None, "x")),
    ("builtins.input", "__builtin__", "input", ()),
    ("builtins.reload", "__builtin__", "reload", (None,)),
)

#: What harms only with another name in the stream, or is a package's own: suspicious is enough.
MILD = {
    "operator.itemgetter", "functools.partial", "builtins.map", "builtins.type", "difflib._test",
    "torch.distributed.rpc.internal._run_function", "torch.distributed.rpc.internal.PythonUDF",
    "keras.layers.deserialize", "sympy.core.sympify.sympify", "yaml.unsafe_load", "pandas.core.computation.eval.eval",
    "a class made by type",
}


def _row(row: Row, family: str) -> list[Attack]:
    about, module, name, arguments = row
    known, what = f"{family} {about}", f"{module}.{name} is called"
    scan = "not clean" if f"{module}.{name}" in MILD else "dangerous"
    bare, later = p.pickled(called(module, name, *arguments)), called4(module, name, *arguments)
    inside = p.stream(p.proto(4), p.empty_dict(), p.text("w"), p.tensor(), p.setitem(), later, p.pop(), p.stop())
    stem = f"{about} {module}.{name}"
    return [
        Attack(stem, known, what, lambda: bare, scan=scan),
        Attack(f"{stem} popped in a zip", known, f"{what}, popped, in a .pt", lambda: pt(inside, FOUR_FLOATS),
               "model.pt", scan),
    ]


def _chains() -> list[Attack]:
    """Several harmless looking calls that together reach one that is not."""
    getattr_ = p.global_("builtins", "getattr")
    import_os = called("importlib", "import_module", "os")
    joined = p.stream(
        getattr_, getattr_, called("importlib", "import_module", "builtins"), p.text("str"), p.tuple2(), p.reduce_(),
        p.text("join"), p.tuple2(), p.reduce_(), p.text(""), value(["o", "s"]), p.tuple2(), p.reduce_(),
    )
    true = p.stream(p.text("true"), p.tuple1(), p.reduce_())
    operators = "import, then attrgetter or methodcaller of the module"
    streams = {
        ("modelscan 331", "importlib, getattr and str.join: no bad name is spelt out"): joined,
        ("modelscan 330", "numpy.__builtins__ reached by dict.get"): p.stream(
            p.global_("builtins", "dict.get"), p.global_("numpy", "__builtins__"), p.text("exec"), p.tuple2(),
            p.reduce_(), p.text(_CODE), p.tuple1(), p.reduce_()),
        ("modelscan 330 setattr", "BUILD writes into a function, and the names are read back"): p.stream(
            p.global_("numpy", "prod"), p.none(), value({"a": "os"}), p.tuple2(), p.build(),
            p.none(), value({"b": "system"}), p.tuple2(), p.build(), p.pop(),
            p.global4("numpy", "prod.a"), p.binput(0), p.global4("numpy", "prod.b"), p.binput(1), p.pop(), p.pop(),
            p.binget(0), p.binget(1), p.stack_global(), true),
        ("modelscan 89", "sys.modules as slot state of a function"): p.stream(
            p.global_("numpy", "prod"), p.none(), p.global4("numpy", "core._internal.sys.modules"), p.tuple2(),
            p.build(), p.pop(), p.global4("numpy", "prod.os.system"), true),
        ("GHSA-955r-x9j8-7rhh chain", operators): p.stream(
            called("operator", "methodcaller", "system", "true"), import_os, p.tuple1(), p.reduce_()),
        ("GHSA-46h3-79wf-xr6c chain", operators): p.stream(
            called("_operator", "attrgetter", "system"), import_os, p.tuple1(), p.reduce_(), true),
        ("CVE-2025-71320 chain", "methodcaller on what pydoc.locate finds"): p.stream(
            called("operator", "methodcaller", "system", "true"), called("pydoc", "locate", "os"), p.tuple1(),
            p.reduce_()),
        ("GHSA-vvpj-8cmc-gx39 chain", "pkgutil.resolve_name gives anything"): p.stream(
            called("pkgutil", "resolve_name", "os:system"), true),
        ("CVE-2026-22612 chain", "__import__ and getattr"): p.stream(
            getattr_, called("builtins", "__import__", "os"), p.text("system"), p.tuple2(), p.reduce_(), true),
        ("GHSA-5hvc-6wx8-mvv4 chain", "a symbol of a library that is loaded"): p.stream(
            getattr_, called("ctypes", "CDLL", "no-such-file"), p.text("system"), p.tuple2(), p.reduce_(), true),
        ("CVE-2025-67747 chain", "marshal.loads makes the code of a types.FunctionType"): p.stream(
            p.global4("types", "FunctionType"), called4("marshal", "loads", b"N"), p.empty_dict(), p.tuple2(),
            p.reduce_(), p.empty_tuple(), p.reduce_()),
        ("GHSA-jhph-76pp-mggw chain", "a function is handed to one that calls it"): p.call(
            "torch.utils.collect_env", "run_and_read_all", p.global_("torch.utils.collect_env", "run"), p.text("true")),
        ("picklescan partial chain", "functools.partial of a load with another record's name"): p.stream(
            p.call("functools", "partial", p.global_("torch.serialization", "load"), p.text("model.bin")),
            p.none(), value({"pickle_file": "config.json", "weights_only": False}), p.tuple2(), p.build(),
            p.empty_tuple(), p.reduce_()),
        ("modelscan sys.modules", "a module put in the place of another"): p.stream(
            p.call("torch._utils", "_rebuild_tensor", p.none()), p.pop(),
            p.global4("torch", "_utils"), p.global_("builtins", "eval"), p.setitem()),
        ("builtins.map chain", "map runs a function for each of a list"): p.call(
            "builtins", "list", p.call("builtins", "map", p.global_("os", "system"), value(["true"]))),
        ("a callable as a factory", "defaultdict calls its factory at the first missing key"): p.call(
            "collections", "defaultdict", p.global_("os", "getcwd")),
        ("a class made by type", "type() builds a class, and what __reduce__ gives is called"): p.stream(
            called("builtins", "type", "X", (), {}), p.empty_tuple(), p.newobj()),
        ("a property of partial", "partial by NEWOBJ and BUILD"): p.stream(
            p.global_("functools", "partial"), p.global_("os", "getcwd"), p.tuple1(), p.newobj(),
            p.mark(), p.global_("os", "getcwd"), value(()), value({}), p.none(), p.tuple_(), p.build()),
        ("an exception that formats", "EOP: an exception's constructor with a payload"): p.call(
            "builtins", "ValueError", called("os", "system", "true")),
        ("a code point at a time", "the name is joined from chr() calls"): p.stream(
            p.global_("builtins", "eval"), p.call("builtins", "chr", p.number(49)), p.tuple1(), p.reduce_()),
    }
    return [
        Attack(key, f"{key} (chain)", what, lambda s=ops: p.pickled(s), "model.pkl",
               "not clean" if key in MILD else "dangerous", "refused")
        for (key, what), ops in streams.items()
    ]


GADGETS = [
    *(attack for row in PICKLESCAN for attack in _row(row, "picklescan")),
    *(attack for row in FICKLING for attack in _row(row, "fickling")),
    *(attack for row in MODELAUDIT for attack in _row(row, "modelaudit")),
    *(attack for row in TORCH for attack in _row(row, "torch")),
    *_chains(),
]
