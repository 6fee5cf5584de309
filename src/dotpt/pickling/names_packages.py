"""What the names of well-known packages can do: those that attacks have used, and those that honest files name.

What crosses this boundary: nothing but texts; `name_kinds` reads them. Invariant: `TREES` are dangerous with all that
lies below them, `PACKAGES` are known and suspicious; the longer path wins. Single names stand in `NAMES`. Of packages
whose classes honest files hold, only those parts are dangerous that no model is made of.
"""

from __future__ import annotations

from dotpt.pickling.names_python import NameRows, Rows

TREES: Rows = (
    (
        "runs-programs",
        "setuptools pkg_resources paramiko fabric invoke plumbum pexpect ptyprocess delegator sarge psutil ansible "
        "virtualenv twine pipenv pyximport Cython.Build cython subprocess32 git jupyter_client nbconvert gunicorn "
        "uvicorn py.process py._process _pytest pytest nose win32api win32com win32process pythoncom wmi "
        "gevent.subprocess gevent.os eventlet.green twisted.internet trio anyio uvloop accelerate.commands "
        "accelerate.launchers transformers.commands mlflow.projects mlflow.utils.process triton.runtime "
        "sklearn.externals.loky joblib.externals.loky loky multiprocess ray.cloudpickle dask.multiprocessing celery",
    ),
    (
        "runs-code",
        "IPython ipykernel jinja2 mako chameleon genshi tornado.template django flask werkzeug bottle cherrypy "
        "sympy.parsing sympy.utilities.lambdify sympy.utilities.autowrap sympy.utilities.codegen "
        "sympy.utilities.runtests sympy.testing sympy.core.sympify numexpr llvmlite numba.core.serialize numba.pycc "
        "pyjulia rpy2 js2py execjs dukpy lupa asteval RestrictedPython past.translation pandas.core.computation "
        "nltk.app nltk.internals theano.gof pytensor.link keras.saving keras.src.saving keras.engine.saving "
        "keras.utils.generic_utils keras.src.layers.core.lambda_layer keras.layers.core.lambda_layer tf_keras.saving "
        "tf_keras.src.saving tensorflow.python.keras.saving tensorflow.python.saved_model "
        "tensorflow.python.framework.load_library tensorflow.python.lib.io tensorflow.saved_model tensorflow.io "
        "tensorflow.python.ops.script_ops tensorflow_hub hydra.utils hydra._internal hydra.core.plugins fire "
        "langchain_experimental cloudpickle dill klepto joblib.externals.cloudpickle "
        "transformers.dynamic_module_utils transformers.tools transformers.agents datasets.packaged_modules "
        "datasets.load diffusers.utils.dynamic_modules_utils evaluate.loading mlflow.pyfunc jsonpickle rope "
        "line_profiler memory_profiler torch_geometric.inspector torch_geometric.template ptpython bpython xonsh "
        "srsly.cloudpickle",
    ),
    (
        "reads-or-writes-files",
        "pandas.io scipy.io scipy.datasets scipy.weave skimage.io imageio PIL.ImageShow PIL.ImageGrab fsspec gcsfs "
        "s3fs smart_open aiofiles joblib.memory networkx.readwrite librosa.util.files audioread torchaudio.io "
        "torchaudio.backend torchvision.io sklearn.datasets nltk.data nltk.corpus gensim.downloader tensorboardX "
        "safetensors patoolib py7zr rarfile sqlalchemy pymysql psycopg2 pymongo redis",
    ),
    (
        "opens-connections",
        "requests requests_toolbelt aiohttp httpx httpcore urllib3 httplib2 pycurl websocket websockets grequests "
        "boto boto3 botocore aiobotocore s3transfer googleapiclient dropbox twilio slack_sdk tweepy scrapy selenium "
        "playwright mechanize feedparser zmq pika kafka grpc rpyc Pyro4 Pyro5 ldap ldap3 nmap scapy huggingface_hub "
        "transformers.utils.hub wget gdown tqdm.contrib.telegram tqdm.contrib.discord tqdm.contrib.slack "
        "torchvision.datasets.utils kagglehub kaggle nltk.downloader torchtext.utils",
    ),
    ("reads-secrets", "keyring browser_cookie3 secretstorage dotenv hvac win32crypt"),
    (
        "loads-another-pickle",
        "pickle5 zodbpickle ZODB srsly pandas.compat.pickle_compat pickleshare hickle compress_pickle "
        "joblib.numpy_pickle_compat skops.io",
    ),
    ("reaches-into-memory", "cffi _cffi_backend pymem frida pwnlib pycuda"),
    ("changes-the-interpreter", "forbiddenfruit setproctitle greenlet"),
)

#: (words, trees): known, and suspicious: their code would run.
PACKAGES: Rows = (
    ("a class of ultralytics (YOLO): the file holds a whole model", "ultralytics"),
    (
        "a class of the project that trained the model (YOLOv5 and many others name theirs so)",
        "models model utils",
    ),
    ("a configuration record of OmegaConf", "omegaconf"),
    ("a class of Hugging Face's libraries", "transformers tokenizers accelerate peft diffusers datasets trl evaluate"),
    ("a record of Lightning", "pytorch_lightning lightning lightning_fabric lightning_utilities torchmetrics"),
    ("a class of fairseq", "fairseq"),
    (
        "a model class of a torch library",
        "timm torchvision torchaudio torchtext torch_geometric torch_scatter torch_sparse "
        "segmentation_models_pytorch monai kornia efficientnet_pytorch detectron2 mmcv mmengine mmdet mmseg "
        "open_clip sentence_transformers speechbrain espnet torchao bitsandbytes apex deepspeed megatron flair "
        "stanza facenet_pytorch e3nn functorch",
    ),
    (
        "a class of a scientific library",
        "scipy pandas sklearn xgboost lightgbm catboost joblib sympy statsmodels networkx gensim nltk spacy thinc "
        "skimage PIL matplotlib imblearn hdbscan umap cupy jax jaxlib flax optax tensorflow keras tf_keras numba "
        "dask polars pyarrow",
    ),
    (
        "a configuration record",
        "hydra addict easydict yacs ml_collections box munch attr attrs pydantic pydantic_core sacred "
        "detectron2.config",
    ),
    (
        "a class of a known library",
        "pytz dateutil pendulum tqdm yaml ruamel sortedcontainers frozendict immutabledict bidict multidict gym "
        "gymnasium stable_baselines3",
    ),
)

NAMES: NameRows = (
    ("six", "runs-code", "exec_ reraise moves"),
    (
        "yaml yaml.loader yaml.constructor yaml.cyaml",
        "runs-code",
        "load load_all unsafe_load unsafe_load_all full_load full_load_all UnsafeLoader Loader FullLoader "
        "UnsafeConstructor Constructor FullConstructor CLoader CUnsafeLoader add_constructor add_multi_constructor "
        "YAMLObject",
    ),
    (
        "ruamel.yaml ruamel.yaml.main ruamel.yaml.constructor ruamel.yaml.loader",
        "runs-code",
        "load load_all UnsafeLoader Loader Constructor UnsafeConstructor YAML",
    ),
    (
        "joblib joblib.numpy_pickle joblib.numpy_pickle_utils sklearn.externals.joblib "
        "sklearn.externals.joblib.numpy_pickle sklearn.utils._joblib",
        "loads-another-pickle",
        "load load_temporary_memmap _unpickle NumpyUnpickler",
    ),
    ("joblib joblib.numpy_pickle sklearn.externals.joblib", "reads-or-writes-files", "dump Memory NumpyPickler"),
    (
        "joblib joblib.parallel joblib._parallel_backends sklearn.externals.joblib sklearn.utils.parallel",
        "runs-programs",
        "Parallel BatchedCalls parallel_backend parallel_config LokyBackend MultiprocessingBackend",
    ),
    (
        "joblib._memmapping_reducer joblib.pool",
        "reads-or-writes-files",
        "_strided_from_memmap make_memmap MemmappingPool",
    ),
    (
        "pandas",
        "reads-or-writes-files",
        "read_csv read_table read_fwf read_excel read_json read_html read_xml read_hdf read_feather read_parquet "
        "read_orc read_sas read_spss read_sql read_sql_query read_sql_table read_gbq read_stata read_clipboard "
        "ExcelFile ExcelWriter HDFStore to_pickle",
    ),
    ("pandas", "loads-another-pickle", "read_pickle"),
    ("pandas", "runs-code", "eval test"),
    ("pandas.core.frame", "runs-code", "DataFrame.eval DataFrame.query"),
    ("pandas.core.common", "runs-code", "pipe apply_if_callable"),
    (
        "pandas.util._print_versions pandas.util._tester sklearn.utils._show_versions",
        "runs-programs",
        "show_versions test",
    ),
    (
        "sklearn.utils._testing sklearn.utils.testing",
        "runs-programs",
        "run_in_subprocess assert_run_python_script assert_run_python_script_without_output",
    ),
    ("sympy sympy.core", "runs-code", "sympify S parse_expr lambdify preview kernS test doctest"),
    ("sympy.core.singleton", "runs-code", "S"),
    ("nltk", "opens-connections", "download"),
    ("nltk.internals nltk.classify.megam nltk.classify.tadm", "runs-programs", "java config_java call_megam call_tadm"),
    ("networkx networkx.readwrite.gpickle", "loads-another-pickle", "read_gpickle write_gpickle"),
    ("gensim.utils gensim.models.utils", "loads-another-pickle", "unpickle SaveLoad"),
    (
        "fairseq.checkpoint_utils fairseq.file_utils fairseq.hub_utils fairseq.utils",
        "loads-another-pickle",
        "load_checkpoint_to_cpu load_archive_file from_pretrained import_user_module load_model_ensemble",
    ),
    (
        "transformers transformers.pipelines",
        "runs-code",
        "pipeline AutoModel AutoConfig AutoTokenizer AutoModelForCausalLM AutoProcessor AutoFeatureExtractor "
        "AutoImageProcessor Tool load_tool",
    ),
    ("transformers.modeling_utils", "loads-another-pickle", "load_state_dict load_sharded_checkpoint"),
    ("transformers.utils.import_utils", "runs-code", "_LazyModule direct_transformers_import"),
    ("accelerate accelerate.utils accelerate.utils.other", "loads-another-pickle", "load load_checkpoint_in_model"),
    ("accelerate", "runs-programs", "notebook_launcher debug_launcher"),
    (
        "ultralytics.nn.tasks",
        "loads-another-pickle",
        "torch_safe_load attempt_load_one_weight attempt_load_weights load_checkpoint",
    ),
    ("ultralytics.nn.tasks ultralytics.nn", "runs-code", "parse_model temporary_modules yaml_model_load"),
    ("ultralytics.nn.autobackend", "loads-another-pickle", "AutoBackend"),
    (
        "ultralytics.utils.checks ultralytics.yolo.utils.checks",
        "runs-programs",
        "check_requirements attempt_install check_file check_yolo collect_system_info",
    ),
    (
        "ultralytics.utils.downloads ultralytics.yolo.utils.downloads",
        "opens-connections",
        "download safe_download attempt_download_asset",
    ),
    (
        "ultralytics ultralytics.engine.model ultralytics.models.yolo.model ultralytics.yolo.engine.model",
        "loads-another-pickle",
        "YOLO Model SAM FastSAM RTDETR NAS",
    ),
    ("models.experimental", "loads-another-pickle", "attempt_load"),
    ("models.yolo", "runs-code", "parse_model"),
    ("models.common", "loads-another-pickle", "DetectMultiBackend"),
    ("utils.downloads utils.google_utils", "opens-connections", "attempt_download safe_download gdrive_download"),
    ("utils.general", "runs-programs", "check_requirements check_git_status check_git_info"),
    (
        "pytorch_lightning.utilities.cloud_io lightning_fabric.utilities.cloud_io lightning.fabric.utilities.cloud_io "
        "pytorch_lightning.core.saving lightning.pytorch.core.saving",
        "loads-another-pickle",
        "load _load get_filesystem load_hparams_from_yaml load_hparams_from_tags_csv save_hparams_to_yaml _load_state",
    ),
    (
        "timm timm.models timm.models.helpers timm.models._helpers timm.models._factory timm.models.factory",
        "loads-another-pickle",
        "load_checkpoint load_state_dict create_model resume_checkpoint",
    ),
    ("timm.models._hub timm.models.hub", "opens-connections", "load_state_dict_from_hf load_model_config_from_hf"),
    ("torchvision.models torchvision.models._api", "opens-connections", "get_model get_weight"),
    ("torchvision.extension", "reaches-into-memory", "_load_library"),
    ("omegaconf omegaconf.omegaconf", "reads-or-writes-files", "OmegaConf"),
    ("omegaconf.resolvers.oc omegaconf.resolvers", "reads-secrets", "env oc"),
    (
        "yacs.config fvcore.common.config detectron2.config.config",
        "runs-code",
        "load_cfg _load_cfg_from_file _load_cfg_py_source _load_module_from_file",
    ),
    ("detectron2.config detectron2.config.lazy", "runs-code", "LazyConfig instantiate locate"),
    ("detectron2.config.instantiate detectron2.utils.registry", "runs-code", "instantiate locate"),
    ("hydra", "runs-code", "main compose initialize"),
    ("box box.box_converters box.converters box.from_file", "reads-or-writes-files", "box_from_file"),
    ("mmcv mmcv.utils mmcv.utils.config mmengine mmengine.config mmengine.config.config", "runs-code", "Config"),
    ("scipy", "runs-code", "test"),
    ("scipy.sparse scipy.sparse._matrix_io", "reads-or-writes-files", "load_npz save_npz"),
    ("spacy spacy.util thinc.util", "loads-another-pickle", "load load_model import_file"),
    ("torch_geometric torch_geometric.io torch_geometric.io.fs", "loads-another-pickle", "torch_load"),
    ("torch_geometric.data torch_geometric.data.download", "opens-connections", "download_url download_google_url"),
    ("attr attr._make attrs", "runs-code", "make_class _make_method _compile_and_eval _linecache_and_compile"),
    (
        "pydantic pydantic.main pydantic.types pydantic.v1.types pydantic.parse pydantic.tools",
        "runs-code",
        "create_model load_file load_str_bytes parse_file_as ImportString PyObject import_string",
    ),
    (
        "gym gym.envs.registration gymnasium gymnasium.envs.registration",
        "runs-code",
        "make load load_env_creator load_env_plugins",
    ),
    ("PIL.ImageMath", "runs-code", "eval unsafe_eval lambda_eval"),
    ("PIL.Image", "reads-or-writes-files", "open"),
    ("PIL.EpsImagePlugin", "runs-programs", "Ghostscript"),
    ("matplotlib.pyplot matplotlib.image", "reads-or-writes-files", "imread imsave savefig"),
    (
        "keras.layers keras.layers.core tf_keras.layers tensorflow.keras.layers tensorflow.python.keras.layers.core",
        "runs-code",
        "Lambda",
    ),
    (
        "keras.models tf_keras.models tensorflow.keras.models tensorflow.python.keras.models keras",
        "runs-code",
        "load_model model_from_json model_from_config model_from_yaml",
    ),
    ("tensorflow", "reaches-into-memory", "load_op_library load_library"),
    ("tensorflow tensorflow.raw_ops", "runs-code", "py_function numpy_function saved_model keras"),
    (
        "tensorflow.python.ops.gen_io_ops tensorflow.raw_ops",
        "reads-or-writes-files",
        "read_file write_file ReadFile WriteFile",
    ),
    ("tensorflow.python.tools", "runs-code", "saved_model_cli"),
    ("skops", "loads-another-pickle", "io"),
    ("xgboost.core lightgbm.basic", "reaches-into-memory", "_load_lib"),
)
