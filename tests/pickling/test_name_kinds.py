"""What names can do: known gadgets are dangerous, honest names are not, and every module of Python is classified."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dotpt.pickling import names_python
from dotpt.pickling.explain import explain
from dotpt.pickling.name_kinds import Meaning, attribute_is_harmful, is_harmless_only_if_empty, meaning_of
from dotpt.pickling.name_words import KINDS
from dotpt.pickling.values import GlobalName
from dotpt.pickling.vocabulary import known_names

# Published bypasses of scanners: what each of them names.
GADGETS = """
    CVE-2025-1716 pip main
    CVE-2025-10157 asyncio.unix_events _UnixSubprocessTransport._start
    CVE-2025-46417 linecache getline
    CVE-2025-46417 ssl get_server_certificate
    CVE-2025-71320 pydoc locate
    CVE-2025-71321 distutils.file_util write_file
    CVE-2025-71322 pty spawn
    CVE-2025-71339 numpy.f2py.crackfortran getlincoef
    CVE-2025-71339 numpy.f2py.crackfortran _eval_length
    CVE-2026-56304 logging FileHandler
    CVE-2026-56315 uuid _get_command_stdout
    CVE-2026-56315 imaplib IMAP4_stream
    CVE-2026-56315 _pyrepl.pager pipe_pager
    CVE-2026-56315 _osx_support _read_output
    CVE-2026-56315 _aix_support _read_cmd_output
    CVE-2026-56315 test.support.script_helper assert_python_ok
    CVE-2025-67747 marshal loads
    CVE-2025-67747 types FunctionType
    CVE-2025-67747 types CodeType
    CVE-2026-22606 runpy run_path
    CVE-2026-22607 cProfile run
    CVE-2026-22608 ctypes CDLL
    CVE-2026-22612 builtins eval
    CVE-2019-6446 numpy load
    CVE-2022-45907 torch.jit.annotations parse_type_line
    CVE-2024-48063 torch.distributed.nn.api.remote_module RemoteModule
    CVE-2024-5480 torch.distributed.rpc.internal PythonUDF
    GHSA-v7x6-rv5q-mhwc timeit timeit
    GHSA-4r9r-ch6f-vxmx torch.utils.bottleneck.__main__ run_cprofile
    GHSA-4whj-rm5r-c2v8 torch.utils.bottleneck.__main__ run_autograd_prof
    GHSA-86cj-95qr-2p4f torch._dynamo.guards GuardBuilder.get
    GHSA-f4x7-rfwp-v3xw torch.fx.experimental.symbolic_shapes ShapeEnv.evaluate_guards_expression
    GHSA-f745-w6jp-hpxx torch.utils.collect_env run
    GHSA-jhph-76pp-mggw torch.utils.collect_env run_and_read_all
    GHSA-h3qp-7fh3-f8h4 torch.utils.data.datapipes.utils.decoder basichandlers
    GHSA-vr7h-p6mm-wpmh torch.jit.unsupported_tensor_ops execWrapper
    GHSA-vv6j-3g6g-2pvj torch.utils._config_module ConfigModule.load_config
    GHSA-5qwp-399c-mjwf trace Trace.run
    GHSA-g344-hcph-8vgg trace Trace.runctx
    GHSA-x696-vm39-cp64 profile Profile.run
    GHSA-6vqj-c2q5-j97w profile Profile.runctx
    GHSA-7wx9-6375-f5wh profile run
    GHSA-f54q-57x4-jg88 lib2to3.pgen2.grammar Grammar.loads
    GHSA-p9w7-82w4-7q8m lib2to3.pgen2.pgen ParserGenerator.make_label
    GHSA-3vg9-h568-4w9m idlelib.debugobj ObjectTreeItem.SetText
    GHSA-6w4w-5w54-rjvr idlelib.autocomplete AutoComplete.get_entity
    GHSA-7cq8-mj8x-j263 idlelib.autocomplete AutoComplete.fetch_completions
    GHSA-8r4j-24qv-fmq9 idlelib.calltip Calltip.fetch_tip
    GHSA-9xph-j2h6-g47v idlelib.calltip get_entity
    GHSA-m869-42cg-3xwr idlelib.run Executive.runcode
    GHSA-j343-8v2j-ff7w idlelib.pyshell ModifiedInterpreter.runcommand
    GHSA-3gf5-cxq9-w223 idlelib.pyshell ModifiedInterpreter.runcode
    GHSA-cj3c-v495-4xqh code InteractiveInterpreter.runcode
    GHSA-xp4f-hrf8-rxw7 ensurepip _run_pip
    GHSA-fqq6-7vqf-w3fg doctest debug_script
    GHSA-49gj-c84q-6qm9 cProfile run
    GHSA-9w88-8rmg-7g2p cProfile runctx
    GHSA-4675-36f9-wf6r ctypes CDLL
    GHSA-9726-w42j-3qjr _io FileIO
    GHSA-9726-w42j-3qjr urllib.request urlopen
    GHSA-9m3x-qqw2-h32h cloudpickle.cloudpickle _make_function
    GHSA-vvpj-8cmc-gx39 pkgutil resolve_name
    GHSA-q5qq-mvfm-j35x importlib import_module
    GHSA-q5qq-mvfm-j35x multiprocessing.util spawnv_passfds
    GHSA-5j3x-jp52-966f pathlib os.system
    GHSA-6ggj-6f2q-f7mx _interpreters exec
    modelscan-330 numpy __builtins__.exec
    modelscan-331 importlib import_module
    picklescan-malicious22 numpy.testing._private.utils runstring
    picklescan-malicious17 torch._inductor.codecache compile_file
""".split("\n")[1:-1]  # fmt: skip

# One name of each way to do harm that no advisory has, and of every place in the library that it was looked for in.
HARMFUL = """
    os system; nt startfile; posix execv; subprocess Popen; _posixsubprocess fork_exec; _winapi CreateProcess
    pty spawn; commands getoutput; popen2 popen3; platform popen; pipes Template; mailcap findmatch; bdb Bdb
    pdb Pdb; runpy run_module; code interact; codeop compile_command; imputil ImportManager; rexec RExec
    Bastion BastionClass; dl open; __builtin__ execfile; __builtin__ apply; __builtin__ reload; __builtin__ file
    builtins breakpoint; builtins globals; builtins setattr; builtins vars; builtins __build_class__
    builtins exit; operator call; types ModuleType; new function; rlcompleter Completer; sched scheduler
    concurrent.futures.thread ThreadPoolExecutor; annotationlib call_evaluate_function; typing get_type_hints
    dataclasses make_dataclass; copyreg add_extension; copy_reg pickle; codecs open; gzip open; bz2 BZ2File
    lzma open; tokenize open; tempfile mkstemp; shutil rmtree; pathlib Path.write_text; zipfile ZipFile
    tarfile TarFile; sqlite3 connect; dbm.dumb open; shelve open; bsddb hashopen; fileinput input; glob glob
    mimetypes init; argparse FileType; posixpath expandvars; os.path exists; gettext translation
    plistlib readPlist; wave open; cgi test; logging.handlers SocketHandler; logging.config fileConfig
    socket create_connection; http.client HTTPConnection; httplib HTTPConnection; urllib urlopen
    urllib2 urlopen; ftplib FTP; smtplib SMTP; xmlrpclib ServerProxy; nntplib NNTP; telnetlib Telnet
    webbrowser open; antigravity geohash; wsgiref.simple_server make_server; xml.sax parse
    xml.etree.ElementTree parse; xml.dom.minidom parse; select epoll; getpass getpass; netrc netrc; pwd getpwnam
    winreg SetValue; mmap mmap; _ctypes dlopen; ctypes.util find_library; cPickle loads; Cookie SmartCookie
    sys settrace; gc get_objects; inspect getattr_static; atexit register; signal signal; threading setprofile
    resource setrlimit; fcntl ioctl; weakref finalize; warnings simplefilter; locale setlocale; time sleep
    unittest.mock _importer; unittest.__main__ anything; turtledemo.__main__ x; idlelib.idle x; curses wrapper
    tkinter Tcl; _tkinter create; site addsitedir; venv create; distutils.spawn spawn; lib2to3.main main
    compiler.pycodegen compile; zipimport zipimporter; imp load_source; importlib.machinery SourceFileLoader
    _frozen_importlib _call_with_frames_removed; sysconfig _main; torch load; torch hub; torch.hub load
    torch save; torch from_file; torch UntypedStorage.from_file; torch ops.load_library
    torch classes.load_library; torch.ops load_library; torch._ops _Ops; torch.jit load
    torch.package PackageImporter; torch.onnx export; torch.multiprocessing spawn
    torch.distributed.rpc rpc_sync; torch.distributed.run main
    torch.distributed.elastic.multiprocessing.api start_processes; torch.serialization _legacy_load
    torch compile; torch.utils.cpp_extension load_inline; torch.utils.model_zoo load_url
    torch.utils.benchmark Timer; torch.utils.tensorboard SummaryWriter; torch.utils.file_baton FileBaton
    torch._C PyTorchFileReader; torch._C import_ir_module; torch.cuda.memory _dump_snapshot
    torch.cuda.memory CUDAPluggableAllocator; torch.testing._internal.common_utils run_tests
    torch._utils _import_dotted_name; torch.fx.graph_module reduce_graph_module
    torch.distributed.distributed_c10d _tensor_to_object
    torch.distributed.checkpoint.filesystem FileSystemWriter; torch._weights_only_unpickler load
    torch.export load; torch.profiler profile; torch os; torch sys; torch.storage os.system; numpy save
    numpy fromfile; numpy loadtxt; numpy genfromtxt; numpy memmap; numpy ndarray.tofile; numpy DataSource
    numpy.ctypeslib load_library; numpy.distutils.exec_command exec_command; numpy core.multiarray.os.system
    numpy.core _ufunc_reconstruct; numpy.compat.py3k npy_load_module; numpy.lib.npyio load
    numpy.lib.format open_memmap; numpy add_newdoc; numpy.testing.utils runstring; numpy os
    setuptools.sandbox run_setup; pkg_resources run_script; requests get; aiohttp ClientSession; httpx get
    urllib3 PoolManager; boto3 client; paramiko SSHClient; fabric Connection; yaml load; yaml unsafe_load
    dill loads; dill._dill _create_function; cloudpickle loads; joblib load; pandas read_pickle; pandas eval
    pandas read_csv; pandas.io.pickle read_pickle; pandas.core.frame DataFrame.to_pickle; jinja2 Template
    mako.template Template; IPython start_ipython; ipykernel.kernelapp launch_new_instance
    django.core.management call_command; flask.cli main; werkzeug.utils import_string; keras.models load_model
    tensorflow.keras.models load_model; keras.layers.core Lambda; transformers pipeline
    transformers.dynamic_module_utils get_class_from_dynamic_module; scipy.io loadmat; sympy sympify
    sympy.parsing.sympy_parser parse_expr; numexpr evaluate; nltk.data load
    torch_geometric.template module_from_template; six exec_; six.moves.builtins exec
    django.utils.six.moves.cPickle loads; ultralytics.nn.tasks torch_safe_load; keyring get_password
    huggingface_hub hf_hub_download; cffi FFI; my_pkg.models os.system; my_pkg.models __builtins__
    my_pkg Net.__init__.__globals__; my_pkg Net.__class__; my_pkg os; my_pkg.os system; my_pkg.sys modules
    __main__ os.system; collections.abc sys; random _os.system; textwrap re.sys; datetime sys; json codecs.open
    collections OrderedDict.__reduce__; base64 main
"""


def pairs(text: str) -> list[tuple[str, str]]:
    """Module and name, from rows of them."""
    return [(entry.split()[0], entry.split()[1]) for entry in text.replace("\n", ";").split(";") if entry.strip()]


@pytest.mark.parametrize("row", GADGETS, ids=lambda row: "-".join(row.split()))
def test_published_gadgets_are_dangerous(row: str) -> None:
    _, module, name = row.split()
    assert meaning_of(module, name).severity == "dangerous"
    assert explain(GlobalName(module, name, False, 0))[1]


@pytest.mark.parametrize(("module", "name"), pairs(HARMFUL))
def test_what_can_do_harm_is_dangerous(module: str, name: str) -> None:
    assert meaning_of(module, name).severity == "dangerous"


@pytest.mark.parametrize(
    ("module", "name"),
    pairs(
        "osmnx system; codecs_extra open; OS system; Posix system; sysrepo load; pickles load; my.os2 x; "
        "builtinsx eval; torchvision2 load; subprocess_ run; numpyro load; __main__ Net; my_pkg.nets Net.Block; "
        "my_pkg Trainer.run; my_pkg.nets make.<locals>.Net; my_pkg.code Code; test Net; commands Command; "
        "user User; config Config; parser Parser"
    ),
)
def test_names_that_only_look_like_others_are_not(module: str, name: str) -> None:
    assert meaning_of(module, name).severity == "suspicious"


@pytest.mark.parametrize(
    ("module", "name"),
    [
        (" os", "system"), ("os ", "system"), ("o\u200bs", "system"), ("os\n", "system"), (".os", "system"),
        ("os.", "system"), ("os", " system"), ("os\x00", "system"), ("pathlib", "os..system"), ("a. os", "b"),
        ("builtins", "ev\u202eal"),
    ],
)  # fmt: skip
def test_disguises_do_not_help(module: str, name: str) -> None:
    assert meaning_of(module, name).severity == "dangerous"


@pytest.mark.parametrize(
    ("module", "name"),
    [("", ""), ("", "x"), ("x", ""), (".", "."), ("a b", "C"), ("a", "b;c"), ("a/b", "C"), ("a\x1b[31m", "C")],
)
def test_odd_names_are_suspicious(module: str, name: str) -> None:
    assert meaning_of(module, name).severity == "suspicious"
    assert meaning_of(module, name).kind == "odd-name"


@pytest.mark.parametrize(
    ("module", "name", "kind"),
    [
        ("builtins", "getattr", "reaches-into-objects"), ("__builtin__", "getattr", "reaches-into-objects"),
        ("operator", "attrgetter", "reaches-into-objects"), ("_operator", "methodcaller", "reaches-into-objects"),
        ("operator", "itemgetter", "reaches-into-objects"), ("functools", "partial", "reaches-into-objects"),
        ("functools", "reduce", "reaches-into-objects"), ("types", "MethodType", "reaches-into-objects"),
        ("copyreg", "__newobj__", "reaches-into-objects"), ("builtins", "print", "unknown-function"),
        ("logging", "getLogger", "reads-or-writes-files"), ("operator", "getitem", "unknown-function"),
        ("itertools", "count", "unknown-function"), ("__torch__.net", "Net", "torchscript-class"),
        ("__main__", "Net", "script-class"), ("my_pkg", "Net", "unknown-class"),
        ("sklearn.svm._classes", "SVC", "known-library"),
        ("pandas.core.frame", "DataFrame", "known-library"),
        ("joblib.numpy_pickle", "NumpyArrayWrapper", "known-library"),
        ("PIL.Image", "Image", "known-library"), ("torch.nn.quantized.modules.linear", "Linear", "known-library"),
        ("torch.distributed.tensor._dtensor_spec", "DTensorSpec", "known-library"),
        ("keras.models", "Sequential", "known-library"),
    ],
)  # fmt: skip
def test_what_honest_files_name_is_not_dangerous(module: str, name: str, kind: str) -> None:
    assert (meaning_of(module, name).severity, meaning_of(module, name).kind) == ("suspicious", kind)


@pytest.mark.parametrize(
    ("module", "name", "words"),
    [
        ("argparse", "Namespace", ""), ("collections", "deque", "container"), ("exceptions", "ValueError", "error"),
        ("builtins", "Ellipsis", "constant"), ("signal", "SIGINT", "constant"), ("http", "HTTPStatus", "constant"),
        ("os", "stat_result", "record"), ("subprocess", "CalledProcessError", "error"), ("_io", "BytesIO", "memory"),
        ("torch.optim.adamw", "AdamW", "optimizer"), ("torch.nn.modules.linear", "Linear", "layer of torch"),
        ("torch.distributed.checkpoint.metadata", "Metadata", "distributed"),
        ("numpy.random._pickle", "__randomstate_ctor", "random"),
        ("ultralytics.nn.tasks", "DetectionModel", "ultralytics"), ("models.yolo", "Model", "YOLOv5"),
        ("omegaconf.dictconfig", "DictConfig", "OmegaConf"), ("easydict", "EasyDict", "settings"),
        ("transformers.training_args", "TrainingArguments", "Hugging Face"), ("typing", "Any", "type of Python"),
        ("pytorch_lightning.utilities.parsing", "AttributeDict", "Lightning"),
    ],
)  # fmt: skip
def test_harmless_ones_are_explained(module: str, name: str, words: str) -> None:
    meaning = meaning_of(module, name)
    assert meaning.severity == "harmless"
    assert words in meaning.what
    assert explain(GlobalName(module, name, False, 0)) == (meaning.what, False)


def test_the_vocabulary_is_harmless() -> None:
    assert {meaning_of(module, name).severity for module, name in known_names()} == {"harmless"}


def test_constructors_of_libraries_are_not_vouched_for() -> None:
    assert is_harmless_only_if_empty("ultralytics.nn.tasks", "DetectionModel")
    assert is_harmless_only_if_empty("torch.nn.modules.linear", "Linear")
    assert not is_harmless_only_if_empty("collections", "deque")
    assert not is_harmless_only_if_empty("transformers.trainer_utils", "SchedulerType")


def test_every_module_of_python_is_classified() -> None:
    trees = {module for _, modules in names_python.TREES for module in modules.split()}
    values = set(names_python.VALUES.split())
    assert not trees & values
    assert (
        not {module for module in sys.stdlib_module_names if not module.startswith("_sysconfigdata")} - trees - values
    )


# Modules of Python 2.7 and of 3.8 to 3.14 that this Python may lack.
ELSEWHERE = """
    BaseHTTPServer Bastion CGIHTTPServer ConfigParser Cookie DocXMLRPCServer HTMLParser MimeWriter Queue
    SimpleHTTPServer SimpleXMLRPCServer SocketServer StringIO UserDict UserList UserString _LWPCookieJar
    _MozillaCookieJar _abcoll anydbm audiodev bsddb binhex commands compiler cookielib dbhash dircache dl
    dumbdbm dummy_thread dummy_threading exceptions formatter fpformat future_builtins gdbm hotshot
    htmlentitydefs htmllib httplib ihooks imputil macpath macurl2path markupbase md5 mhlib mimetools mimify
    multifile mutex new os2emxpath parser popen2 posixfile repr rexec rfc822 robotparser sets sgmllib sha sre
    statvfs stringold strop sunaudio symbol thread toaiff urllib2 urlparse user whichdb xmllib xmlrpclib cPickle
    cStringIO __builtin__ copy_reg Tkinter Tix ttk imp asyncore asynchat smtpd distutils lib2to3 aifc audioop
    cgi cgitb chunk crypt imghdr mailcap msilib nis nntplib ossaudiodev pipes sndhdr spwd sunau telnetlib uu
    xdrlib annotationlib compression _zstd _interpreters _interpchannels _interpqueues _xxsubinterpreters
    _pyrepl _remote_debugging _pylong _pydatetime _colorize _android_support _ios_support _apple_support _hmac
    _types _testcapi _testinternalcapi _winreg winreg winsound nt _winapi _wmi msvcrt posix
""".split()


@pytest.mark.parametrize("module", ELSEWHERE)
def test_modules_of_other_pythons_are_classified(module: str) -> None:
    assert meaning_of(module, "anything").kind != "unknown-class"


@pytest.mark.parametrize(
    ("name", "harmful"),
    [
        ("system", True), ("_system", True), ("popen", True), ("eval", True), ("__globals__", True),
        ("__class__", True),
        ("__subclasses__", True), ("__dict__", True), ("__import__", True), ("__reduce__", True), ("a.b.system", True),
        ("os", True), ("run", True), ("loads", True), ("load", True), ("Popen", True), ("spawnv", True), ("call", True),
        ("f_globals", True), ("tofile", True), ("from_file", True), (" system", True), ("__init__.__globals__", True),
        ("Inner", False), ("forward", False), ("relu", False), ("__len__", False), ("__getitem__", False), ("", False),
        ("step", False), ("fromtimestamp", False), ("apply", False), ("append", False), ("get", False), ("join", False),
    ],
)  # fmt: skip
def test_attributes(name: str, harmful: bool) -> None:
    assert attribute_is_harmful(name) is harmful


TEXT = st.text(max_size=40) | st.sampled_from(
    ("os", "a.b", "...", "moves", "six.moves", "__torch__", "\ud800", "x" * 4096, "." * 4096)
)


@given(TEXT, TEXT)
def test_it_never_fails(module: str, name: str) -> None:
    meaning = meaning_of(module, name)
    assert type(meaning) is Meaning
    assert meaning.severity in ("harmless", "suspicious", "dangerous")
    assert meaning.kind in KINDS
    assert meaning.what.isprintable()
    assert all((meaning.what, meaning.why, meaning.hint))
    attribute_is_harmful(name)


@given(st.sampled_from(pairs(HARMFUL)), st.sampled_from(" \t\n\u200b\u202e\x00"), st.integers(0, 3))
def test_no_mark_makes_a_harmful_name_better(pair: tuple[str, str], mark: str, where: int) -> None:
    module, name = pair
    texts = ((mark + module, name), (module + mark, name), (module, mark + name), (module, name + mark))
    assert meaning_of(*texts[where]).severity == "dangerous"


def test_it_is_light() -> None:
    code = (
        "import dotpt.pickling.vocabulary, dotpt.pickling.nn_names, sys; before = set(sys.modules); "
        "from dotpt.pickling.name_kinds import meaning_of; "
        "print(sorted(name for name in set(sys.modules) - before if not name.startswith('dotpt.pickling.name')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
