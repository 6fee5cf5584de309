"""What the names of torch and numpy can do, apart from those that are known to be harmless.

What crosses this boundary: nothing but texts; `name_kinds` reads them. Invariant: `TREES` are dangerous with all that
lies below them, `PACKAGES` are known and suspicious; the longer path wins. Single names stand in `NAMES`.
"""

from __future__ import annotations

from dotpt.pickling.names_python import NameRows, Rows

TREES: Rows = (
    (
        "runs-programs",
        "torch.utils.cpp_extension torch.utils._cpp_embed_headers torch.utils.bottleneck torch.utils.collect_env "
        "torch.utils.hipify torch.testing._internal torch._inductor torch.distributed.elastic torch.distributed.launch "
        "torch.distributed.launcher torch.distributed.run torch.multiprocessing torch._strobelight torch._appdirs "
        "torch._utils_internal torch.utils._strobelight torch.utils.data._utils.worker torch._thread_safe_fork "
        "numpy.f2py numpy.distutils numpy.testing numpy._pyinstaller numpy.conftest numpy.tests numpy.core.tests "
        "numpy._core.tests numpy.lib.tests numpy.weave",
    ),
    (
        "runs-code",
        "torch.fx torch._dynamo torch._functorch torch.compiler torch._compile torch._higher_order_ops torch._library "
        "torch.library torch._custom_op torch._custom_ops torch.onnx torch.export torch._export torch.jit "
        "torch._jit_internal torch.package torch._deploy torch.hub torch.ops torch._ops torch.classes torch._classes "
        "torch.distributed.rpc torch.distributed.nn torch.distributed.pipeline torch.distributed.pipelining "
        "torch.distributed.autograd torch.utils.benchmark torch.utils.checkpoint torch.utils._config_module "
        "torch.utils._sympy torch.utils._triton torch.utils.jit torch._lazy torch._logging torch._python_dispatcher "
        "torch._decomp torch._prims torch._refs torch._numpy torch._vendor torch._native torchgen "
        "functorch._src functorch.compile functorch.einops numpy.compat numpy.lib.utils numpy.lib._utils_impl "
        "numpy.lib.introspect numpy.core.overrides numpy._core.overrides numpy.core.function_base "
        "numpy._core.function_base numpy.core._add_newdocs numpy._core._add_newdocs numpy.add_newdocs "
        "numpy._import_tools numpy.lib.function_base numpy.lib._function_base_impl",
    ),
    (
        "reads-or-writes-files",
        "torch.profiler torch.autograd.profiler torch.autograd.profiler_util torch.autograd.profiler_legacy "
        "torch.cuda._memory_viz torch.cuda.tunable torch.cuda.profiler torch.cuda._sanitizer torch.cuda.gds "
        "torch.utils.data.datapipes torch.utils.data.backward_compatibility torch.utils.file_baton "
        "torch.utils.tensorboard torch.utils.mobile_optimizer torch.utils._content_store torch.utils.viz "
        "torch.distributed.checkpoint torch.distributed._shard.checkpoint torch.monitor numpy.lib.npyio "
        "numpy.lib._npyio_impl numpy.lib.format numpy.lib._format_impl numpy.lib._datasource numpy.core.memmap "
        "numpy._core.memmap numpy.core._methods numpy._core._methods",
    ),
    ("opens-connections", "torch.utils.model_zoo torch.distributed.rendezvous"),
    ("reaches-into-memory", "numpy.ctypeslib numpy.core._internal numpy._core._internal torch.utils.dlpack"),
    (
        "loads-another-pickle",
        "torch.serialization torch._weights_only_unpickler torch.utils.show_pickle torch.utils.model_dump "
        "torch.utils.serialization",
    ),
    ("changes-the-interpreter", "torch._environment torch.overrides torch.utils._python_dispatch"),
)

#: (words, trees): known, and suspicious: their code would run.
PACKAGES: Rows = (
    ("a layer of torch: the file holds a whole model, not only its weights", "torch.nn torch.ao torch.quantization"),
    ("an optimizer or scheduler object of torch", "torch.optim"),
    (
        "a record of torch's distributed training",
        "torch.distributed torch.distributed.checkpoint.metadata torch.distributed.checkpoint.planner",
    ),
    ("a name of torch outside the known harmless ones", "torch torch.fx.immutable_collections"),
    ("a random generator of numpy", "numpy.random"),
    ("a class of a scientific library", "numpy"),
)

NAMES: NameRows = (
    ("torch", "loads-another-pickle", "load serialization _weights_only_unpickler"),
    ("torch", "reads-or-writes-files", "save from_file profiler onnx package"),
    (
        "torch",
        "runs-code",
        "compile jit ops classes library hub import_ir_module import_ir_module_from_buffer fx _dynamo _inductor "
        "compiler _import_dotted_name vmap cond while_loop _compile _jit_internal",
    ),
    (
        "torch",
        "reaches-into-objects",
        "_C _utils utils multiprocessing distributed cuda testing storage functional func",
    ),
    (
        "torch",
        "changes-the-interpreter",
        "set_default_dtype set_default_device set_default_tensor_type set_printoptions set_num_threads "
        "set_num_interop_threads use_deterministic_algorithms set_deterministic_debug_mode set_warn_always "
        "set_flush_denormal set_float32_matmul_precision set_grad_enabled",
    ),
    # classes whose making runs nothing; what builds a module from source text is `reduce_graph_module`
    ("torch.fx._symbolic_trace torch.fx.graph torch.fx.node", "?unknown-function", "Tracer PHBase Graph Node"),
    ("torch._utils", "runs-code", "_import_dotted_name CallbackRegistry ExceptionWrapper render_call"),
    (
        "torch._C",
        "reads-or-writes-files",
        "PyTorchFileReader PyTorchFileWriter _load_for_lite_interpreter _load_for_lite_interpreter_from_buffer "
        "_load_jit_module_from_file _load_mobile_module_from_file _save_parameters _save_jit_module "
        "_save_mobile_module _import_ir_module_from_package _export_operator_list",
    ),
    (
        "torch._C",
        "runs-code",
        "import_ir_module import_ir_module_from_buffer parse_ir _parse_source_def CompilationUnit ScriptModule "
        "ScriptFunction _create_function_from_graph _create_method_from_trace _jit_script_compile "
        "_jit_resolve_packet _get_operation_overload _jit_get_operation _dispatch_library "
        "_import_ir_module_from_package parse_type_comment _run_emit_module_hook _jit_set_emit_hooks PythonUDF",
    ),
    (
        "torch.cuda torch.cuda.memory",
        "reads-or-writes-files",
        "_dump_snapshot _record_memory_history _save_segment_usage _save_memory_usage",
    ),
    (
        "torch.cuda torch.cuda.memory",
        "reaches-into-memory",
        "CUDAPluggableAllocator change_current_allocator caching_allocator_alloc caching_allocator_delete",
    ),
    (
        "torch.cuda torch.cuda.jiterator",
        "runs-code",
        "jiterator _compile_kernel _create_jit_fn _create_multi_output_jit_fn",
    ),
    ("torch.cuda._utils", "runs-code", "_nvrtc_compile _cuda_load_module _CudaModule _CudaKernel"),
    (
        "torch.utils",
        "runs-code",
        "cpp_extension bottleneck model_dump benchmark generate_methods_for_privateuse1_backend model_zoo",
    ),
    ("torch.utils.data", "reads-or-writes-files", "datapipes"),
    ("torch.utils.data.graph torch.utils.data.graph_settings", "runs-code", "traverse traverse_dps apply_random_seed"),
    ("torch.autograd", "runs-code", "profiler profiler_legacy"),
    (
        "torch.distributed torch.distributed.distributed_c10d",
        "loads-another-pickle",
        "_tensor_to_object broadcast_object_list all_gather_object gather_object scatter_object_list send_object_list "
        "recv_object_list _unpickler",
    ),
    (
        "torch.distributed torch.distributed.distributed_c10d torch._C._distributed_c10d",
        "opens-connections",
        "init_process_group TCPStore new_group new_subgroups ProcessGroupGloo ProcessGroupNCCL ProcessGroupMPI "
        "_new_process_group_helper monitored_barrier",
    ),
    (
        "torch.distributed torch.distributed.distributed_c10d torch._C._distributed_c10d",
        "reads-or-writes-files",
        "FileStore",
    ),
    (
        "numpy numpy.lib",
        "reads-or-writes-files",
        "save savez savez_compressed loadtxt savetxt genfromtxt fromfile fromregex memmap DataSource recfromcsv "
        "recfromtxt ndfromtxt mafromtxt source info lookfor",
    ),
    ("numpy numpy.lib", "loads-another-pickle", "load loads"),
    (
        "numpy numpy.lib",
        "runs-code",
        "test safe_eval add_newdoc add_newdocs add_docstring pkgload PackageLoader deprecate bmat f2py distutils "
        "testing compat",
    ),
    (
        "numpy",
        "?reaches-into-objects",
        "vectorize frompyfunc apply_along_axis apply_over_axes piecewise fromfunction",
    ),
    ("numpy numpy.lib numpy.core numpy._core", "reaches-into-objects", "lib core _core npyio format ctypeslib"),
    ("numpy.lib.function_base numpy.lib._function_base_impl", "?reaches-into-objects", "vectorize"),
    ("numpy", "changes-the-interpreter", "seterrcall seterrobj setbufsize set_numeric_ops set_string_function seterr"),
    (
        "numpy.core numpy._core numpy.core.multiarray numpy._core.multiarray numpy.core._multiarray_umath "
        "numpy._core._multiarray_umath numpy.core.numeric numpy._core.numeric numpy.core.records numpy._core.records "
        "numpy.rec numpy.matlib numpy.ma numpy.ma.core numpy.ma.mrecords",
        "reads-or-writes-files",
        "fromfile memmap load loads save fromtextfile openfile dump",
    ),
    # Imports any module and gives any name of it: before numpy 1.20, arrays' functions were pickled so.
    (
        "numpy.core numpy._core numpy.core.umath numpy._core.umath numpy.core._multiarray_umath "
        "numpy._core._multiarray_umath numpy.core.multiarray numpy._core.multiarray",
        "runs-code",
        "_ufunc_reconstruct add_docstring _add_newdoc_ufunc",
    ),
    ("numpy.matrixlib numpy.matrixlib.defmatrix numpy.core.defmatrix", "runs-code", "bmat _from_string"),
)
