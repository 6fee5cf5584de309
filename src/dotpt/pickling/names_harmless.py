"""Names beyond the vocabulary that are known to be harmless, each by its module and exact name.

What crosses this boundary: nothing but texts; `name_kinds` reads them. Invariants:

* `VALUES`: whatever harmless values such a class or function is called with, and whatever harmless state is set on what
  it made, a value in memory is all that comes of it. `tests/pickling/test_names_harmless.py` does that to each of
  Python's under an audit hook. How long it takes is not promised: a range can be made a list as well;
* `RECORDS`: classes of libraries that are harmless as unpickling makes them: empty, and then filled. Their constructors
  are not, and no writer calls them: YOLO's evaluates texts of its configuration.
"""

from __future__ import annotations

from dotpt.pickling.names_python import NameRows

_EXCEPTIONS = (
    "ArithmeticError AssertionError AttributeError BaseException BaseExceptionGroup BlockingIOError BrokenPipeError "
    "BufferError BytesWarning ChildProcessError ConnectionAbortedError ConnectionError ConnectionRefusedError "
    "ConnectionResetError DeprecationWarning EOFError EncodingWarning EnvironmentError Exception ExceptionGroup "
    "FileExistsError FileNotFoundError FloatingPointError FutureWarning GeneratorExit IOError ImportError "
    "ImportWarning IndentationError IndexError InterruptedError IsADirectoryError KeyError KeyboardInterrupt "
    "LookupError MemoryError ModuleNotFoundError NameError NotADirectoryError NotImplementedError OSError "
    "OverflowError PendingDeprecationWarning PermissionError ProcessLookupError PythonFinalizationError "
    "RecursionError ReferenceError ResourceWarning RuntimeError RuntimeWarning StandardError StopAsyncIteration "
    "StopIteration SyntaxError SyntaxWarning SystemError SystemExit TabError TimeoutError TypeError "
    "UnboundLocalError UnicodeDecodeError UnicodeEncodeError UnicodeError UnicodeTranslateError UnicodeWarning "
    "UserWarning ValueError Warning WindowsError ZeroDivisionError _IncompleteInputError"
)
_ERROR = "an error of Python's library, as a value"
_RECORD = "a record of Python's library"
_ENUM = "a constant of Python's library"
_IP = "IPv4Address IPv4Interface IPv4Network IPv6Address IPv6Interface IPv6Network"
_HTTP_ERRORS = (
    "HTTPException NotConnected InvalidURL UnknownProtocol UnknownTransferEncoding UnimplementedFileMode "
    "IncompleteRead ImproperConnectionState CannotSendRequest CannotSendHeader ResponseNotReady BadStatusLine "
    "LineTooLong"
)
_CONFIG_ERRORS = (
    "Error NoSectionError DuplicateSectionError DuplicateOptionError NoOptionError InterpolationError "
    "InterpolationMissingOptionError InterpolationSyntaxError InterpolationDepthError ParsingError "
    "MissingSectionHeaderError"
)

#: (modules, what it is, names)
VALUES: NameRows = (
    ("builtins __builtin__ exceptions", "an error of Python, as a value", _EXCEPTIONS),
    ("builtins __builtin__", "a constant of Python", "Ellipsis NotImplemented"),
    (
        "builtins __builtin__",
        "a function of Python that computes a value",
        "abs all any ascii bin callable chr divmod enumerate hex id isinstance issubclass len max min oct ord repr "
        "reversed round sorted sum unichr zip",
    ),
    ("builtins __builtin__", "a type of Python", "basestring"),
    ("collections _collections", "a container of Python's library", "deque ChainMap UserDict UserList UserString"),
    ("UserDict", "a container of Python's library", "UserDict IterableUserDict"),
    ("UserList", "a container of Python's library", "UserList"),
    ("UserString", "a text of Python's library", "UserString"),
    ("sets", "a container of Python 2", "Set ImmutableSet"),
    ("array", "an array of Python's library", "array _array_reconstructor"),
    ("datetime _pydatetime", "a time zone of Python's library", "tzinfo UTC"),
    ("time", "a moment of Python's library", "struct_time"),
    ("decimal _decimal _pydecimal", "a decimal number of Python's library", "Decimal Context DecimalTuple"),
    (
        "decimal _decimal _pydecimal",
        _ERROR,
        "Clamped ConversionSyntax DecimalException DivisionByZero DivisionImpossible DivisionUndefined FloatOperation "
        "Inexact InvalidContext InvalidOperation Overflow Rounded Subnormal Underflow",
    ),
    ("fractions", "a fraction of Python's library", "Fraction"),
    ("statistics", "a distribution of Python's library", "NormalDist"),
    ("random _random", "a random generator of Python's library", "Random"),
    ("uuid", "an identifier of Python's library", "UUID SafeUUID"),
    ("ipaddress", "an address of Python's library", _IP),
    ("types", "a plain record of Python", "SimpleNamespace"),
    ("types", "a type of Python, as a value", "GenericAlias NoneType EllipsisType NotImplementedType"),
    (
        "typing",
        "a type of Python, as a value",
        "Any Union Optional List Dict Tuple Set FrozenSet Sequence Mapping MutableMapping Iterable Iterator",
    ),
    ("optparse", "a plain record of Python's optparse: the training script's options", "Values"),
    ("string", "a text of Python's library", "Template"),
    ("re sre", "a compiled pattern of Python's re", "_compile"),
    ("re", _ENUM, "RegexFlag"),
    ("calendar", "a calendar of Python's library", "Calendar TextCalendar HTMLCalendar Month Day"),
    ("contextlib", "a context of Python's library that does nothing", "nullcontext"),
    ("io _io", "a file in memory", "BytesIO StringIO"),
    ("StringIO", "a file in memory", "StringIO"),
    ("xml.etree.ElementTree _elementtree", "an element of a document", "Element"),
    ("plistlib", _RECORD, "UID PlistFormat"),
    ("difflib", _RECORD, "Match"),
    ("tokenize", _RECORD, "TokenInfo"),
    ("subprocess commands", "the outcome of a program that was run earlier, as a record", "CompletedProcess"),
    ("subprocess commands", _ERROR, "SubprocessError CalledProcessError TimeoutExpired"),
    (
        "urllib.parse urlparse",
        "the parts of an address, as a record",
        "ParseResult SplitResult DefragResult ParseResultBytes SplitResultBytes DefragResultBytes",
    ),
    ("os posix nt", _RECORD, "stat_result statvfs_result terminal_size times_result uname_result"),
    ("pwd", _RECORD, "struct_passwd"),
    ("grp", _RECORD, "struct_group"),
    ("resource", _RECORD, "struct_rusage"),
    ("http", _ENUM, "HTTPStatus HTTPMethod"),
    ("inspect", _ENUM, "_ParameterKind _empty BufferFlags"),
    ("signal", _ENUM, "Signals Handlers Sigmasks"),
    ("socket", _ENUM, "AddressFamily AddressInfo MsgFlag SocketKind"),
    (
        "ssl",
        _ENUM,
        "AlertDescription Options SSLErrorNumber TLSVersion VerifyFlags VerifyMode _SSLMethod _TLSAlertType "
        "_TLSContentType _TLSMessageType",
    ),
    ("pstats", _ENUM, "SortKey"),
    ("asyncio.constants", _ENUM, "_SendfileMode"),
    ("argparse", _ERROR, "ArgumentError ArgumentTypeError"),
    (
        "asyncio.exceptions",
        _ERROR,
        "BrokenBarrierError CancelledError IncompleteReadError InvalidStateError LimitOverrunError "
        "SendfileNotAvailableError TimeoutError",
    ),
    ("asyncio.queues", _ERROR, "QueueEmpty QueueFull QueueShutDown"),
    ("binascii", _ERROR, "Error Incomplete"),
    ("calendar", _ERROR, "IllegalMonthError IllegalWeekdayError"),
    ("concurrent.futures._base", _ERROR, "BrokenExecutor CancelledError Error InvalidStateError TimeoutError"),
    ("concurrent.futures.process", _ERROR, "BrokenProcessPool"),
    ("concurrent.futures.thread", _ERROR, "BrokenThreadPool"),
    ("configparser ConfigParser", _ERROR, _CONFIG_ERRORS),
    ("copy", _ERROR, "Error"),
    ("csv _csv", _ERROR, "Error"),
    ("dataclasses", _ERROR, "FrozenInstanceError"),
    (
        "email.errors",
        _ERROR,
        "BoundaryError CharsetError HeaderParseError MessageDefect MessageError MessageParseError "
        "MultipartConversionError",
    ),
    ("getopt", _ERROR, "GetoptError"),
    ("graphlib", _ERROR, "CycleError"),
    ("gzip", _ERROR, "BadGzipFile"),
    ("http.client httplib", _ERROR, _HTTP_ERRORS),
    ("http.client", _ERROR, "RemoteDisconnected"),
    ("http.cookies Cookie", _ERROR, "CookieError"),
    ("http.cookiejar cookielib", _ERROR, "LoadError"),
    ("io", _ERROR, "UnsupportedOperation"),
    ("ipaddress", _ERROR, "AddressValueError NetmaskValueError"),
    ("json.decoder", _ERROR, "JSONDecodeError"),
    ("locale", _ERROR, "Error"),
    ("_lzma", _ERROR, "LZMAError"),
    ("multiprocessing.context", _ERROR, "AuthenticationError BufferTooShort ProcessError TimeoutError"),
    ("multiprocessing", _ERROR, "AuthenticationError BufferTooShort ProcessError TimeoutError"),
    ("optparse", _ERROR, "BadOptionError OptParseError OptionConflictError OptionError OptionValueError"),
    ("_pickle pickle", _ERROR, "PickleError PicklingError UnpicklingError"),
    ("queue Queue _queue", _ERROR, "Empty Full ShutDown"),
    ("re sre_constants", _ERROR, "error PatternError"),
    ("select", _ERROR, "error"),
    ("shutil", _ERROR, "Error ExecError ReadError RegistryError SameFileError SpecialFileError"),
    (
        "smtplib",
        _ERROR,
        "SMTPException SMTPAuthenticationError SMTPConnectError SMTPDataError SMTPHeloError SMTPNotSupportedError "
        "SMTPRecipientsRefused SMTPResponseException SMTPSenderRefused SMTPServerDisconnected",
    ),
    ("socket", _ERROR, "error gaierror herror timeout"),
    (
        "sqlite3",
        _ERROR,
        "DataError DatabaseError Error IntegrityError InterfaceError InternalError NotSupportedError OperationalError "
        "ProgrammingError Warning",
    ),
    (
        "ssl",
        _ERROR,
        "SSLCertVerificationError SSLEOFError SSLError SSLSyscallError SSLWantReadError SSLWantWriteError "
        "SSLZeroReturnError",
    ),
    ("statistics", _ERROR, "StatisticsError"),
    ("struct", _ERROR, "error"),
    ("tarfile", _ERROR, "CompressionError ExtractError HeaderError ReadError StreamError TarError"),
    ("threading", _ERROR, "BrokenBarrierError"),
    ("tokenize", _ERROR, "TokenError StopTokenizing"),
    ("tomllib", _ERROR, "TOMLDecodeError"),
    ("unittest.case", _ERROR, "SkipTest"),
    ("urllib.error urllib2", _ERROR, "URLError"),
    ("xml.dom", _ERROR, "DOMException"),
    ("xml.etree.ElementTree", _ERROR, "ParseError"),
    ("xml.parsers.expat", _ERROR, "ExpatError"),
    ("xml.sax._exceptions", _ERROR, "SAXException SAXNotRecognizedException SAXNotSupportedException"),
    ("xmlrpc.client xmlrpclib", _ERROR, "Error Fault ProtocolError ResponseError"),
    ("zipfile", _ERROR, "BadZipFile LargeZipFile"),
    ("zlib", _ERROR, "error"),
    ("zoneinfo._common", _ERROR, "ZoneInfoNotFoundError"),
    (
        "numpy.random._pickle",
        "a random generator of numpy",
        "__bit_generator_ctor __generator_ctor __randomstate_ctor",
    ),
    ("numpy.random", "a random generator of numpy", "__RandomState_ctor RandomState Generator"),
    ("numpy.random.mtrand", "a random generator of numpy", "RandomState"),
    ("numpy.random._generator", "a random generator of numpy", "Generator"),
    ("numpy.random._mt19937", "a random generator of numpy", "MT19937"),
    ("numpy.random._pcg64", "a random generator of numpy", "PCG64 PCG64DXSM"),
    ("numpy.random._philox", "a random generator of numpy", "Philox"),
    ("numpy.random._sfc64", "a random generator of numpy", "SFC64"),
    (
        "numpy.random.bit_generator numpy.random._bit_generator",
        "a random generator of numpy",
        "SeedSequence __pyx_unpickle_SeedSequence",
    ),
    (
        "numpy numpy.rec numpy.core.records numpy._core.records numpy.records",
        "an array of numpy whose entries are records",
        "recarray record",
    ),
    ("numpy.ma.core numpy.ma", "a masked array of numpy", "MaskedArray _mareconstruct MaskedConstant"),
    (
        "numpy",
        "a type of numpy, as a value",
        "generic number integer signedinteger unsignedinteger inexact floating complexfloating flexible character "
        "void object_ half single double float_ csingle cdouble complex_ byte ubyte short ushort int_ uint unicode_ "
        "string_ str bytes",
    ),
    ("torch", "a type or value of torch that only holds data", "dtype layout memory_format qscheme finfo iinfo"),
    ("torch", "a value of torch", "contiguous_format preserve_format channels_last channels_last_3d"),
    (
        "torch.optim.lr_scheduler",
        "a function of a scheduler of torch",
        "CyclicLR._triangular_scale_fn CyclicLR._triangular2_scale_fn CyclicLR._exp_range_scale_fn "
        "OneCycleLR._annealing_cos OneCycleLR._annealing_linear",
    ),
    ("torch.optim.swa_utils", "a function of a scheduler of torch", "SWALR._cosine_anneal SWALR._linear_anneal"),
    ("torch.fx.immutable_collections", "a container of torch", "immutable_list immutable_dict"),
    (
        "torch.nn.parameter",
        "a parameter or buffer of torch that has no shape yet",
        "UninitializedParameter UninitializedBuffer",
    ),
    ("torch.nn.utils.rnn", "sequences of torch, packed into one tensor", "PackedSequence"),
    ("torch.amp.grad_scaler torch.cuda.amp.grad_scaler", "a state of torch's gradient scaler", "OptState"),
    (
        "torch.amp.grad_scaler torch.cuda.amp.grad_scaler",
        "a state of torch's gradient scaler",
        "_refresh_per_optimizer_state",
    ),
    (
        "torch.distributed.checkpoint.metadata",
        "a record of torch's distributed checkpoints",
        "BytesStorageMetadata ChunkStorageMetadata Metadata MetadataIndex StorageMeta TensorProperties "
        "TensorStorageMetadata _MEM_FORMAT_ENCODING",
    ),
    (
        "torch.distributed.checkpoint.filesystem",
        "a record of torch's distributed checkpoints",
        "_StorageInfo _StoragePrefix SerializationFormat",
    ),
    (
        "torch.distributed.checkpoint.planner",
        "a record of torch's distributed checkpoints",
        "BytesIOWriteData LoadItemType LoadPlan ReadItem SavePlan TensorWriteData WriteItem WriteItemType",
    ),
    (
        "torch.distributed.fsdp.api",
        "a setting of torch's sharded training",
        "ShardingStrategy BackwardPrefetch StateDictType",
    ),
)

_OPTIMIZERS = {
    "adadelta": "Adadelta", "adagrad": "Adagrad", "adam": "Adam", "adamax": "Adamax", "adamw": "AdamW", "asgd": "ASGD",
    "lbfgs": "LBFGS", "nadam": "NAdam", "optimizer": "Optimizer _RequiredParameter", "radam": "RAdam",
    "rmsprop": "RMSprop", "rprop": "Rprop", "sgd": "SGD", "sparse_adam": "SparseAdam",
}  # fmt: skip
_SCHEDULERS = (
    "LRScheduler _LRScheduler LambdaLR MultiplicativeLR StepLR MultiStepLR ConstantLR LinearLR ExponentialLR "
    "SequentialLR PolynomialLR CosineAnnealingLR ChainedScheduler ReduceLROnPlateau CyclicLR "
    "CosineAnnealingWarmRestarts OneCycleLR"
)
_YOLO = "a part of ultralytics' YOLO: the file holds a whole model"
_YOLO_MODELS = (
    "BaseModel DetectionModel OBBModel SegmentationModel PoseModel ClassificationModel RTDETRDetectionModel WorldModel "
    "YOLOEModel YOLOESegModel Ensemble"
)
_YOLO_CONVS = (
    "Conv Conv2 LightConv DWConv DWConvTranspose2d ConvTranspose Focus GhostConv RepConv ChannelAttention "
    "SpatialAttention CBAM Concat Index"
)
_YOLO_BLOCKS = (
    "DFL HGBlock HGStem SPP SPPF C1 C2 C3 C2f C2fAttn ImagePoolingAttn ContrastiveHead BNContrastiveHead C3x C3TR "
    "C3Ghost GhostBottleneck Bottleneck BottleneckCSP Proto RepC3 ResNetBlock ResNetLayer RepNCSPELAN4 RepCSP "
    "RepBottleneck ELAN1 ADown AConv SPPELAN CBFuse CBLinear C3f C3k C3k2 C2fPSA C2PSA C2fCIB CIB PSA PSABlock "
    "Attention RepVGGDW SCDown MaxSigmoidAttnBlock AAttn ABlock A2C2f SwiGLUFFN Residual SAVPE"
)
_YOLO_HEADS = (
    "Detect Segment OBB Classify Pose RTDETRDecoder v10Detect WorldDetect YOLOEDetect YOLOESegment LRPCHead Segment26 "
    "Pose26 OBB26"
)
_YOLO_TRANSFORMERS = (
    "TransformerEncoderLayer TransformerLayer TransformerBlock MLPBlock LayerNorm2d AIFI DeformableTransformerDecoder "
    "DeformableTransformerDecoderLayer MSDeformAttn MLP"
)
_YOLO_LOSSES = (
    "v8DetectionLoss v8SegmentationLoss v8PoseLoss v8ClassificationLoss v8OBBLoss E2EDetectLoss BboxLoss "
    "RotatedBboxLoss DFLoss VarifocalLoss FocalLoss KeypointLoss"
)
_YOLOV5 = "a part of YOLOv5 or YOLOv7: the file holds a whole model"
_YOLOV5_PARTS = (
    "Conv DWConv DWConvTranspose2d TransformerLayer TransformerBlock Bottleneck BottleneckCSP CrossConv C3 C3x C3TR "
    "C3SPP C3Ghost SPP SPPF SPPCSPC Focus GhostConv GhostBottleneck Contract Expand Concat Proto Classify MP SP "
    "ReOrg Chuncat Shortcut Foldcut ImplicitA ImplicitM RepConv Sum MixConv2d NMS AutoShape autoShape Detections"
)
_HF_ENUMS = "IntervalStrategy EvaluationStrategy SaveStrategy SchedulerType HubStrategy FSDPOption ShardedDDPOption"
_CONFIG = "a plain record of settings"

#: Harmless as long as they are made empty and then filled: (modules, what it is, names)
RECORDS: NameRows = (
    # made of a text it parses that text
    ("numpy numpy.matrixlib.defmatrix numpy.core.defmatrix", "a matrix of numpy", "matrix"),
    ("torch.optim", "an optimizer or scheduler object of torch", "Adafactor Muon"),
    *(
        (f"torch.optim.{module}", "an optimizer or scheduler object of torch", names)
        for module, names in _OPTIMIZERS.items()
    ),
    ("torch.optim.lr_scheduler", "an optimizer or scheduler object of torch", _SCHEDULERS),
    ("torch.optim.swa_utils", "an optimizer or scheduler object of torch", "SWALR AveragedModel"),
    ("torch.amp.grad_scaler torch.cuda.amp.grad_scaler", "torch's gradient scaler", "GradScaler"),
    ("torch.utils.data.dataset", "a data set of torch", "Dataset TensorDataset StackDataset ConcatDataset Subset"),
    (
        "torch.utils.data.sampler",
        "an order of a data set of torch",
        "Sampler SequentialSampler RandomSampler SubsetRandomSampler WeightedRandomSampler BatchSampler",
    ),
    ("torch.utils.data.distributed", "an order of a data set of torch", "DistributedSampler"),
    (
        "ultralytics.nn.tasks ultralytics.nn.modules",
        _YOLO,
        _YOLO_MODELS,
    ),
    ("ultralytics.nn.modules.conv ultralytics.nn.modules", _YOLO, _YOLO_CONVS),
    ("ultralytics.nn.modules.block ultralytics.nn.modules", _YOLO, _YOLO_BLOCKS),
    ("ultralytics.nn.modules.head ultralytics.nn.modules", _YOLO, _YOLO_HEADS),
    ("ultralytics.nn.modules.transformer ultralytics.nn.modules", _YOLO, _YOLO_TRANSFORMERS),
    ("ultralytics.utils.loss ultralytics.yolo.utils.loss", _YOLO, _YOLO_LOSSES),
    ("ultralytics.utils.tal ultralytics.yolo.utils.tal", _YOLO, "TaskAlignedAssigner RotatedTaskAlignedAssigner"),
    (
        "ultralytics.utils ultralytics.yolo.utils ultralytics.yolo.cfg",
        "a plain record of ultralytics: the training's settings",
        "IterableSimpleNamespace",
    ),
    ("models.common models.experimental", _YOLOV5, _YOLOV5_PARTS),
    (
        "models.yolo",
        _YOLOV5,
        "Model BaseModel DetectionModel SegmentationModel ClassificationModel Detect Segment IDetect IAuxDetect "
        "IKeypoint IBin",
    ),
    ("models.experimental", _YOLOV5, "Ensemble"),
    (
        "lightning_fabric.utilities.data lightning.fabric.utilities.data pytorch_lightning.utilities.parsing "
        "lightning.pytorch.utilities.parsing",
        "a plain record of Lightning: hyper-parameters",
        "AttributeDict",
    ),
    (
        "pytorch_lightning.callbacks.model_checkpoint lightning.pytorch.callbacks.model_checkpoint",
        "a record of Lightning",
        "ModelCheckpoint",
    ),
    (
        "pytorch_lightning.callbacks.early_stopping lightning.pytorch.callbacks.early_stopping",
        "a record of Lightning",
        "EarlyStopping",
    ),
    ("omegaconf.dictconfig", "a configuration record of OmegaConf", "DictConfig"),
    ("omegaconf.listconfig", "a configuration record of OmegaConf", "ListConfig"),
    ("omegaconf.base", "a configuration record of OmegaConf", "Metadata ContainerMetadata SCMode"),
    (
        "omegaconf.nodes",
        "a configuration record of OmegaConf",
        "AnyNode StringNode IntegerNode FloatNode BooleanNode BytesNode PathNode EnumNode InterpolationResultNode",
    ),
    ("fairseq.data.dictionary", "a vocabulary of fairseq", "Dictionary"),
    (
        "transformers.training_args transformers.training_args_seq2seq",
        "a record of Hugging Face's trainer: the training's settings",
        "TrainingArguments Seq2SeqTrainingArguments",
    ),
    ("transformers.trainer_pt_utils", "a record of Hugging Face's trainer", "AcceleratorConfig"),
    (
        "transformers.integrations.deepspeed transformers.deepspeed",
        "a record of Hugging Face's trainer",
        "HfTrainerDeepSpeedConfig HfDeepSpeedConfig",
    ),
    ("accelerate.state", "a record of Hugging Face's accelerate", "PartialState AcceleratorState"),
    (
        "accelerate.utils.dataclasses",
        "a record of Hugging Face's accelerate",
        "DeepSpeedPlugin FullyShardedDataParallelPlugin",
    ),
    (
        "trl.trainer.sft_config trl.trainer.dpo_config trl.trainer.ppo_config trl.trainer.grpo_config",
        "a record of Hugging Face's trainer: the training's settings",
        "SFTConfig DPOConfig PPOConfig GRPOConfig",
    ),
    ("addict addict.addict", _CONFIG, "Dict"),
    ("easydict", _CONFIG, "EasyDict"),
    ("attrdict attrdict.dictionary", _CONFIG, "AttrDict"),
    ("yacs.config fvcore.common.config detectron2.config.config", _CONFIG, "CfgNode"),
    ("ml_collections.config_dict.config_dict ml_collections", _CONFIG, "ConfigDict FrozenConfigDict"),
    ("munch", _CONFIG, "Munch DefaultMunch"),
    ("box box.box", _CONFIG, "Box"),
    ("mmengine.config.config mmcv.utils.config", _CONFIG, "ConfigDict"),
    ("mmengine.logging.history_buffer", _CONFIG, "HistoryBuffer"),
)

#: Of libraries, and harmless when they are called: constants, which are made from their values.
CONSTANTS: NameRows = (
    ("transformers.trainer_utils", "a setting of Hugging Face's trainer", _HF_ENUMS),
    ("transformers.training_args", "a setting of Hugging Face's trainer", "OptimizerNames ParallelMode"),
    ("transformers.debug_utils", "a setting of Hugging Face's trainer", "DebugOption"),
    (
        "accelerate.utils.dataclasses accelerate.state",
        "a setting of Hugging Face's accelerate",
        "DistributedType DynamoBackend SageMakerDistributedType ComputeEnvironment PrecisionType LoggerType RNGType "
        "CustomDtype FP8BackendType",
    ),
)

#: Modules whose names in capitals are numbers, texts and enumerated constants (Python 3.11 pickles those by name).
CAPITALS = frozenset(("signal", "socket", "_socket", "ssl", "_ssl", "re"))
#: But for these.
NOT_CONSTANTS = frozenset("CAPI CMSG_LEN CMSG_SPACE CHANNEL_BINDING_TYPES".split())
