"""What the names of Python's own library can do: every module of Python 2.7 and of 3.8 to 3.14, and single names.

What crosses this boundary: nothing but texts; `name_kinds` reads them. Invariant: every module stands either in
`TREES` (dangerous, with all below it) or in `VALUES` (suspicious: it works on values, and is no reason for alarm by
itself); what differs within a module stands in `NAMES`. The Python 2 spelling of a module stands beside its new one.
What is harmless stands, name by name, in `names_harmless`.
"""

from __future__ import annotations

Rows = tuple[tuple[str, str], ...]
NameRows = tuple[tuple[str, str, str], ...]

#: (kind, modules): all that lies in them and below them is dangerous, but for what is listed by name.
TREES: Rows = (
    (
        "runs-programs",
        "os posix nt os2 subprocess _subprocess _posixsubprocess _winapi _wmi pty commands popen2 posixfile asyncio "
        "_asyncio _overlapped multiprocessing _multiprocessing _posixshmem pipes platform mailcap _osx_support "
        "_aix_support _ios_support _android_support _apple_support _bootsubprocess _pyrepl distutils _distutils_hack "
        "_distutils findertools terminalcommand EasyDialogs aetools gensuitemodule OSATerminology Carbon",
    ),
    (
        "runs-code",
        "importlib _frozen_importlib _frozen_importlib_external _imp imp imputil ihooks zipimport runpy code codeop "
        "timeit cProfile profile profiling _lsprof hotshot _hotshot pdb bdb trace doctest unittest marshal pkgutil "
        "pydoc pip ensurepip venv idlelib lib2to3 compiler rexec Bastion site sitecustomize usercustomize "
        "_sitebuiltins turtledemo turtle tkinter _tkinter Tkinter Tix ttk tkMessageBox tkColorChooser tkCommonDialog "
        "tkFileDialog tkFont tkSimpleDialog Tkdnd Tkconstants FixTk FileDialog ScrolledText SimpleDialog "
        "curses _curses _curses_panel cmd rlcompleter sched _interpreters _xxsubinterpreters _interpchannels "
        "_interpqueues _xxinterpchannels concurrent annotationlib _testcapi _testinternalcapi _testmultiphase "
        "_testbuffer _testclinic _testclinic_limited _testconsole _testlimitedcapi _testsinglephase "
        "_testimportmultiple _testexternalinspection _testsubinterpreters _remote_debugging _ctypes_test _xxtestfuzz "
        "xxlimited xxlimited_35 xxlimited_3_13 xxsubtype __hello__ __phello__ autoGIL buildtools bundlebuilder "
        "test",
    ),
    (
        "reads-or-writes-files",
        "io _io _pyio shutil tempfile pathlib linecache logging zipfile tarfile zipapp py_compile compileall fileinput "
        "filecmp glob _glob dircache mimetypes mailbox mhlib MimeWriter mimify sqlite3 _sqlite3 pysqlite2 dbm _dbm "
        "_gdbm gdbm anydbm dumbdbm dbhash bsddb _bsddb whichdb plistlib wave aifc sunau sunaudio sunaudiodev audiodev "
        "sndhdr imghdr chunk toaiff uu binhex cgi cgitb gettext sysconfig _sysconfig tabnanny pyclbr modulefinder "
        "ossaudiodev linuxaudiodev winsound pstats _compression compression macostools applesingle macfs msilib _msi "
        "syslog multifile",
    ),
    (
        "opens-connections",
        "socket _socket ssl _ssl http httplib urllib urllib2 ftplib smtplib smtpd imaplib poplib telnetlib nntplib "
        "xmlrpc xmlrpclib DocXMLRPCServer SimpleXMLRPCServer SimpleHTTPServer BaseHTTPServer CGIHTTPServer "
        "SocketServer socketserver asyncore asynchat select selectors nis _scproxy cookielib _LWPCookieJar "
        "_MozillaCookieJar webbrowser antigravity wsgiref robotparser xml.sax",
    ),
    ("reads-secrets", "getpass netrc pwd spwd grp _winreg winreg"),
    ("reaches-into-memory", "ctypes _ctypes mmap _rawffi"),
    ("loads-another-pickle", "pickle _pickle cPickle shelve"),
    (
        "changes-the-interpreter",
        "sys gc inspect atexit signal _signal threading _thread thread dummy_threading dummy_thread _dummy_thread "
        "_dummy_threading _threading_local faulthandler tracemalloc _tracemalloc resource fcntl termios tty readline "
        "msvcrt",
    ),
)

#: Modules that work on values: of their names none is dangerous but those in `NAMES`, and none vouched for.
VALUES = (
    "__future__ _abc _abcoll _ast _ast_unparse _bisect _bootlocale _blake2 _bz2 _codecs _codecs_cn _codecs_hk "
    "_codecs_iso2022 _codecs_jp _codecs_kr _codecs_tw _collections _collections_abc _colorize _compat_pickle "
    "_contextvars _crypt _csv _datetime _decimal _elementtree _functools _hashlib _heapq _hmac _json _locale _lzma "
    "_markupbase _md5 _missing_stdlib_info _multibytecodec _opcode _opcode_metadata _operator _py_abc _py_warnings "
    "_pydatetime _pydecimal _pylong _queue _random _sha _sha1 _sha2 _sha256 _sha3 _sha512 _sre _stat _statistics "
    "_string _strptime _struct _suggestions _symtable _sysconfigdata _tokenize _types _typing _uuid _warnings "
    "_weakref _weakrefset _zoneinfo _zstd abc argparse array ast audioop base64 binascii bisect builtins __builtin__ "
    "__builtins__ bz2 cStringIO calendar cmath codecs collections colorsys configparser ConfigParser contextlib "
    "contextvars Cookie copy copyreg copy_reg crypt csv dataclasses datetime decimal difflib dis dl email encodings "
    "enum errno exceptions fnmatch formatter fpformat fractions functools future_builtins genericpath getopt "
    "graphlib gzip hashlib heapq hmac html htmlentitydefs htmllib HTMLParser ipaddress itertools json keyword locale "
    "lzma macpath macurl2path markupbase math md5 mimetools mutex new ntpath nturl2path numbers opcode operator "
    "optparse os.path os2emxpath parser pickletools posixpath pprint pydoc_data pyexpat Queue queue quopri random re "
    "_re repr reprlib rfc822 secrets sets sgmllib sha shlex sre sre_compile sre_constants sre_parse stat statistics "
    "statvfs string stringold StringIO stringprep strop struct symbol symtable textwrap this time token tokenize "
    "tomllib traceback types typing unicodedata urllib.parse urlparse user UserDict UserList UserString uuid "
    "warnings weakref xdrlib xml xmllib zlib zoneinfo http.cookies xml.dom.minicompat compression.zlib"
)

#: (modules, kind, names); a kind behind a question mark is suspicious only: the scan looks at what it is called with.
NAMES: NameRows = (
    (
        "builtins __builtin__ __builtins__",
        "runs-code",
        "eval exec compile __import__ execfile apply input raw_input reload breakpoint help __build_class__",
    ),
    ("builtins __builtin__ __builtins__", "reads-or-writes-files", "open file license copyright credits"),
    ("builtins __builtin__ __builtins__", "changes-the-interpreter", "exit quit"),
    ("builtins __builtin__ __builtins__", "reaches-into-objects", "setattr delattr vars globals locals"),
    # Honest pickles name a class within a class, or a method, by getattr: what is reached decides, not getattr.
    ("builtins __builtin__ __builtins__", "?reaches-into-objects", "getattr hasattr map filter reduce type super dir"),
    ("operator _operator", "runs-code", "call"),
    ("operator _operator", "?reaches-into-objects", "attrgetter itemgetter methodcaller"),
    ("functools _functools", "?reaches-into-objects", "partial partialmethod reduce"),
    (
        "functools _functools",
        "?reaches-into-objects",
        "wraps update_wrapper singledispatch singledispatchmethod lru_cache cache _lru_cache_wrapper cached_property",
    ),
    ("types", "runs-code", "CodeType FunctionType LambdaType coroutine CellType ModuleType new_class"),
    (
        "types",
        "?reaches-into-objects",
        "MethodType BuiltinFunctionType BuiltinMethodType DynamicClassAttribute prepare_class",
    ),
    ("new", "runs-code", "code function module classobj instance instancemethod"),
    ("copyreg copy_reg", "?reaches-into-objects", "__newobj__ __newobj_ex__ _reduce_ex _slotnames"),
    (
        "copyreg copy_reg",
        "changes-the-interpreter",
        "pickle constructor add_extension remove_extension clear_extension_cache dispatch_table _extension_registry "
        "_inverted_registry _extension_cache",
    ),
    ("copy", "reaches-into-objects", "_reconstruct"),
    (
        "itertools",
        "?reaches-into-objects",
        "starmap imap ifilter ifilterfalse filterfalse takewhile dropwhile accumulate groupby",
    ),
    ("weakref", "changes-the-interpreter", "finalize"),
    (
        "logging",
        "?reads-or-writes-files",
        "getLogger Logger RootLogger Manager PlaceHolder LoggerAdapter StreamHandler root",
    ),
    ("logging", "?unknown-function", "LogRecord Formatter Filter Filterer NullHandler PercentStyle BufferingFormatter"),
    ("typing", "runs-code", "get_type_hints _eval_type ForwardRef _ForwardRef evaluate_forward_ref"),
    ("dataclasses", "runs-code", "make_dataclass _create_fn _FuncBuilder"),
    ("contextlib", "runs-programs", "chdir"),
    ("contextlib", "reaches-into-objects", "ExitStack AsyncExitStack"),
    ("codecs", "reads-or-writes-files", "open EncodedFile"),
    ("codecs _codecs", "changes-the-interpreter", "register unregister register_error"),
    ("tokenize", "reads-or-writes-files", "open _builtin_open main _main"),
    (
        "bz2 gzip lzma _bz2 _lzma compression.bz2 compression.gzip compression.lzma compression.zstd",
        "reads-or-writes-files",
        "open BZ2File GzipFile LZMAFile ZstdFile main _test",
    ),
    ("base64 quopri pickletools json.tool calendar ast dis symtable", "reads-or-writes-files", "main test _main _test"),
    ("string", "?reaches-into-objects", "Formatter"),
    ("argparse", "reads-or-writes-files", "FileType"),
    ("locale _locale", "changes-the-interpreter", "setlocale resetlocale bindtextdomain textdomain"),
    (
        "warnings _warnings _py_warnings",
        "changes-the-interpreter",
        "filterwarnings simplefilter resetwarnings showwarning warn_explicit",
    ),
    (
        "posixpath ntpath os.path genericpath macpath os2emxpath",
        "reads-or-writes-files",
        "exists lexists isfile isdir islink ismount isjunction isdevdrive getsize getmtime getatime getctime realpath "
        "expanduser expandvars samefile sameopenfile walk",
    ),
    ("Cookie http.cookies", "loads-another-pickle", "SerialCookie SmartCookie"),
    ("Cookie", "loads-another-pickle", "Cookie"),
    (
        "_compat_pickle",
        "changes-the-interpreter",
        "IMPORT_MAPPING NAME_MAPPING REVERSE_IMPORT_MAPPING REVERSE_NAME_MAPPING",
    ),
    ("parser", "runs-code", "compilest compileast sequence2st sequence2ast tuple2st tuple2ast suite expr"),
    ("traceback", "reaches-into-objects", "walk_stack walk_tb"),
    (
        "uuid",
        "runs-programs",
        "_get_command_stdout _popen _find_mac _find_mac_near_keyword _find_mac_under_heading _ifconfig_getter "
        "_ip_getter _arp_getter _lanscan_getter _netstat_getter _ipconfig_getter _netbios_getter _unixdll_getter "
        "_windll_getter getnode uuid1 main _main",
    ),
    ("_uuid", "runs-programs", "generate_time_safe UuidCreate"),
    ("zoneinfo", "reads-or-writes-files", "reset_tzpath available_timezones"),
    ("datetime", "?unknown-function", "datetime.fromtimestamp datetime.utcnow datetime.now"),
    ("time", "changes-the-interpreter", "sleep tzset clock_settime clock_settime_ns"),
    ("csv _csv", "changes-the-interpreter", "register_dialect unregister_dialect field_size_limit"),
    (
        "xml.etree.ElementTree xml.etree.cElementTree xml.dom.minidom xml.dom.pulldom xml.dom.expatbuilder xml.dom "
        "xml.parsers.expat xml.etree.ElementInclude _elementtree xml.dom.domreg",
        "reads-or-writes-files",
        "parse iterparse default_loader include dump write register_namespace registerDOMImplementation "
        "getDOMImplementation parseFragment TreeBuilder DOMEventStream XMLParser XMLPullParser canonicalize",
    ),
    ("encodings", "runs-code", "search_function"),
    ("email.utils", "opens-connections", "make_msgid"),
    ("hashlib", "reads-or-writes-files", "file_digest"),
    # What honest pickles name of modules that are dangerous as a whole.
    ("inspect", "?unknown-function", "Parameter Signature BoundArguments"),
    ("platform", "?unknown-function", "uname_result"),
    ("os", "?unknown-function", "_make_stat_result _make_statvfs_result"),
    ("sched", "?unknown-function", "Event"),
    ("tarfile", "?unknown-function", "TarInfo"),
    ("zipfile", "?unknown-function", "ZipInfo"),
    ("sqlite3", "?unknown-function", "Row"),
    ("http.cookiejar cookielib", "?unknown-function", "Cookie"),
    ("urllib.request urllib2", "?unknown-function", "Request"),
    ("urllib.error urllib2", "?unknown-function", "HTTPError ContentTooShortError"),
    ("http.client", "?unknown-function", "HTTPMessage"),
    ("asyncio.locks asyncio.queues", "?unknown-function", "Event Lock Queue"),
    ("concurrent.futures._base", "?unknown-function", "Future"),
    ("threading", "?unknown-function", "Thread"),
    ("sys", "?unknown-function", "intern"),
    ("tkinter Tkinter", "?unknown-function", "EventType"),
    ("unittest.case unittest.result", "?unknown-function", "TestCase TestResult"),
    ("unittest.mock", "?unknown-function", "_ANY _Call _SentinelObject sentinel"),
    ("xml.sax.handler xml.sax.xmlreader", "?unknown-function", "ContentHandler AttributesImpl AttributesNSImpl"),
    ("dl", "reaches-into-memory", "open"),
    ("_ctypes", "?reaches-into-memory", "_unpickle"),
    (
        "ctypes",
        "?reaches-into-memory",
        "c_bool c_byte c_ubyte c_char c_short c_ushort c_int c_uint c_long c_ulong c_longlong c_ulonglong c_float "
        "c_double c_longdouble c_size_t c_ssize_t c_int8 c_int16 c_int32 c_int64 c_uint8 c_uint16 c_uint32 c_uint64",
    ),
)

#: Modules of Python that people also give to scripts of their own: a class that stands in one, and that Python does not
#: have there, is most likely such a script's.
ALSO_SCRIPTS = frozenset(("test", "commands"))
