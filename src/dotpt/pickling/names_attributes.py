"""Names of attributes and modules that make it dangerous to reach something by its name.

What crosses this boundary: nothing but texts; `name_kinds` reads them. Invariant: the names of layers, of methods of
values and of nested classes, which honest pickles reach by `getattr`, are not among them.
"""

from __future__ import annotations

#: Modules that no class holds as an attribute, but that most modules do: whoever names one through another hides it.
MODULES = frozenset(
    (
        "os sys posix nt subprocess builtins __builtin__ __builtins__ importlib ctypes _ctypes socket shutil pty runpy "
        "pickle _pickle cPickle marshal imp code codeop pdb _posixsubprocess multiprocessing asyncio webbrowser pkgutil"
    ).split()
)

#: Those of them that no package has a module of its own of the same name as.
BUILT_IN = frozenset("os sys posix nt subprocess builtins __builtin__ __builtins__ importlib ctypes _ctypes".split())

#: Dangerous wherever they are reached.
ALWAYS = frozenset(
    (
        "system popen popen2 popen3 popen4 exec eval execfile exec_ execv execve execl execle execlp execlpe execvp "
        "execvpe spawnl spawnle spawnlp spawnlpe spawnv spawnve spawnvp spawnvpe posix_spawn posix_spawnp startfile "
        "fork forkpty kill killpg check_call check_output getoutput getstatusoutput Popen fork_exec CreateProcess "
        "import getattr setattr delattr getattribute globals locals vars modules environ environb getenv putenv "
        "unsetenv import_module exec_module load_module load_source load_dynamic load_library load_compiled "
        "find_module find_spec create_module resolve_name LoadLibrary CDLL WinDLL PyDLL dlopen string_at memmove "
        "f_globals f_builtins f_locals f_back f_code gi_frame gi_code cr_frame cr_code ag_frame ag_code tb_frame "
        "tb_next func_globals func_code func_closure co_code co_consts mro subclasses runcode runsource runcommand "
        "runctx runcall runfile run_module run_path run_code runeval _run_code unlink rmdir removedirs rmtree "
        "makedirs mkdir mkfifo mknod chmod chown lchown symlink link truncate ftruncate tofile fromfile from_file "
        "read_text write_text read_bytes write_bytes extractall urlopen urlretrieve create_connection "
        "create_subprocess_shell create_subprocess_exec attrgetter methodcaller set_trace breakpoint interact reload "
        "loads load_global find_class persistent_load read_pickle to_pickle read_csv to_csv to_sql read_sql "
        "read_html to_excel to_json to_hdf to_parquet unsafe_load full_load set_from_file write_file "
        "new_shared_filename_cpu share_filename_cpu settrace setprofile addaudithook set_wakeup_fd excepthook "
        "displayhook meta_path path_hooks path_importer_cache"
    ).split()
)

#: Dangerous if they are reached by their name: methods that honest pickles do not reach so.
REACHED = frozenset(
    (
        "call run shell communicate compile open file fdopen remove rename renames dump dumps save load load_file "
        "load_extension retrieve download connect connect_ex bind listen accept send sendall sendto recv recvfrom "
        "touch iterdir glob rglob scandir listdir walk extract locate query evaluate spawn schedule submit "
        "start_server register atexit savez savetxt loadtxt genfromtxt memmap login request urlcleanup cast "
        "apply_async starmap_async run_until_complete run_forever run_in_executor call_soon set_result"
    ).split()
)

#: Methods with two underscores at both ends which compute, and give nothing away.
FINE = frozenset(
    f"__{name}__"
    for name in (
        "init new len getitem contains iter next add sub mul truediv floordiv mod pow matmul neg pos abs invert and "
        "or xor lshift rshift radd rsub rmul rtruediv eq ne lt le gt ge hash repr str bool int float complex index "
        "round bytes length_hint reversed name qualname doc"
    ).split()
)
