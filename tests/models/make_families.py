"""Writes the tables of names and shapes that `test_families.py` holds the known families against.

Not part of the tests: it needs the libraries themselves, and is run by hand when a family is added:

    python tests/models/make_families.py torchvision timm transformers

Every model is built on the meta device from its library's own configuration, so no weights are made or fetched. What is
kept of it is a line a tensor (name, type, shape), in one compressed file a library (fixtures/families/LIBRARY.txt.xz).
Use transformers 4: its version 5 gives the modules of some models other names in memory than in their files.
"""

from __future__ import annotations

import lzma
import re
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

FOLDER = Path(__file__).parent / "fixtures" / "families"
Recipes = Iterator[tuple[str, Callable[[], Any]]]


def _call(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Callable[[], Any]:
    return lambda: function(*args, **kwargs)


def torchvision() -> Recipes:
    """The models of torchvision."""
    from torchvision import models
    from torchvision.models import detection, optical_flow, segmentation, video

    names = (
        "resnet18 resnet34 resnet50 resnet101 resnet152 resnext50_32x4d resnext101_64x4d wide_resnet50_2"
        " vgg11 vgg16 vgg16_bn vgg19_bn alexnet squeezenet1_0 squeezenet1_1 densenet121 densenet161 mobilenet_v2"
        " mobilenet_v3_small mobilenet_v3_large efficientnet_b0 efficientnet_b3 efficientnet_v2_s convnext_tiny"
        " convnext_base vit_b_16 vit_l_32 swin_t swin_b swin_v2_t inception_v3 googlenet shufflenet_v2_x1_0"
        " regnet_y_400mf regnet_x_800mf mnasnet1_0 maxvit_t"
    ).split()
    for name in names:
        kwargs = {"init_weights": False} if name in ("inception_v3", "googlenet") else {}
        yield name, _call(getattr(models, name), **kwargs)
    small = {"weights": None, "weights_backbone": None}
    for name in (
        "fasterrcnn_resnet50_fpn fasterrcnn_mobilenet_v3_large_fpn maskrcnn_resnet50_fpn keypointrcnn_resnet50_fpn"
        " retinanet_resnet50_fpn ssd300_vgg16 ssdlite320_mobilenet_v3_large fcos_resnet50_fpn"
    ).split():
        yield name, _call(getattr(detection, name), **small)
    for name in "deeplabv3_resnet50 deeplabv3_mobilenet_v3_large fcn_resnet50 lraspp_mobilenet_v3_large".split():
        yield name, _call(getattr(segmentation, name), **small)
    yield "raft_large", optical_flow.raft_large
    yield "r3d_18", video.r3d_18


def timm() -> Recipes:
    """The models of timm."""
    import timm as library

    names = (
        "vit_base_patch16_224 vit_tiny_patch16_224 deit_base_distilled_patch16_224 vit_small_patch14_dinov2"
        " vit_small_patch14_reg4_dinov2 vit_base_patch16_clip_224 resnet50 resnet50d seresnet50 resnext50_32x4d"
        " efficientnet_b0 tf_efficientnetv2_s mobilenetv3_large_100 convnext_tiny convnextv2_tiny"
        " swin_tiny_patch4_window7_224 swinv2_tiny_window8_256 mixer_b16_224 beit_base_patch16_224"
        " beitv2_base_patch16_224 eva_giant_patch14_224 eva02_base_patch14_224 regnety_040 cait_s24_224 pvt_v2_b0"
        " hrnet_w18 maxvit_tiny_tf_224 coatnet_0_rw_224 vgg16 densenet121 inception_v3 inception_resnet_v2 xception"
        " mobilenetv2_100 deit3_base_patch16_224 vit_so400m_patch14_siglip_224 levit_128 res2net50_26w_4s"
    ).split()
    for name in names:
        yield name, _call(library.create_model, name)


def transformers() -> Recipes:
    """The models of Hugging Face's transformers, in the sizes of the published ones."""
    import transformers as hf

    def make(model: str, config: str, **kwargs: Any) -> Callable[[], Any]:
        return lambda: getattr(hf, model)(getattr(hf, config)(**kwargs))

    bert = {"vocab_size": 30522}
    yield "bert-base-uncased", make("BertForPreTraining", "BertConfig", **bert)
    yield "bert-base-cased-model", make("BertModel", "BertConfig", vocab_size=28996)
    yield "bert-large-classifier", make(
        "BertForSequenceClassification", "BertConfig", hidden_size=1024, num_hidden_layers=24, num_attention_heads=16,
        intermediate_size=4096, num_labels=5, **bert,
    )  # fmt: skip
    yield "minilm-l6", make(
        "BertModel", "BertConfig", hidden_size=384, num_hidden_layers=6, num_attention_heads=12,
        intermediate_size=1536, **bert,
    )  # fmt: skip
    roberta = {"vocab_size": 50265, "max_position_embeddings": 514, "type_vocab_size": 1}
    yield "roberta-base", make("RobertaForMaskedLM", "RobertaConfig", **roberta)
    yield "roberta-base-classifier", make("RobertaForSequenceClassification", "RobertaConfig", **roberta)
    yield "roberta-base-model", make("RobertaModel", "RobertaConfig", **roberta)
    yield "xlm-roberta-base", make("XLMRobertaForMaskedLM", "XLMRobertaConfig", **(roberta | {"vocab_size": 250002}))
    yield "distilbert-base-uncased", make("DistilBertForMaskedLM", "DistilBertConfig")
    yield "distilbert-classifier", make("DistilBertForSequenceClassification", "DistilBertConfig")
    yield (
        "albert-base-v2",
        make("AlbertForMaskedLM", "AlbertConfig", hidden_size=768, num_attention_heads=12, intermediate_size=3072),
    )
    yield "electra-small-discriminator", make("ElectraForPreTraining", "ElectraConfig")
    yield "deberta-v3-base", make(
        "DebertaV2Model", "DebertaV2Config", vocab_size=128100, hidden_size=768, num_hidden_layers=12,
        num_attention_heads=12, intermediate_size=3072, relative_attention=True, position_buckets=256,
        norm_rel_ebd="layer_norm", share_att_key=True, pos_att_type=["p2c", "c2p"], type_vocab_size=0,
        position_biased_input=False,
    )  # fmt: skip
    yield "mpnet-base", make("MPNetModel", "MPNetConfig")
    yield "xlnet-base", make("XLNetLMHeadModel", "XLNetConfig", d_model=768, n_layer=12, n_head=12, d_inner=3072)
    yield "gpt2", make("GPT2LMHeadModel", "GPT2Config")
    yield "gpt2-medium-model", make("GPT2Model", "GPT2Config", n_embd=1024, n_layer=24, n_head=16)
    yield "gpt-neo-125m", make(
        "GPTNeoForCausalLM", "GPTNeoConfig", hidden_size=768, num_layers=12, num_heads=12,
        attention_types=[[["global", "local"], 6]],
    )  # fmt: skip
    yield "gpt-j-6b", make("GPTJForCausalLM", "GPTJConfig")
    yield "pythia-160m", make(
        "GPTNeoXForCausalLM", "GPTNeoXConfig", vocab_size=50304, hidden_size=768, num_hidden_layers=12,
        num_attention_heads=12, intermediate_size=3072,
    )  # fmt: skip
    yield "opt-125m", make("OPTForCausalLM", "OPTConfig")
    yield (
        "bloom-560m",
        make("BloomForCausalLM", "BloomConfig", vocab_size=250880, hidden_size=1024, n_layer=24, n_head=16),
    )
    yield "llama-2-7b", make("LlamaForCausalLM", "LlamaConfig")
    yield (
        "llama-3-8b",
        make("LlamaForCausalLM", "LlamaConfig", vocab_size=128256, intermediate_size=14336, num_key_value_heads=8),
    )
    yield "tinyllama-1.1b", make(
        "LlamaForCausalLM", "LlamaConfig", hidden_size=2048, intermediate_size=5632, num_hidden_layers=22,
        num_attention_heads=32, num_key_value_heads=4,
    )  # fmt: skip
    yield "mistral-7b", make("MistralForCausalLM", "MistralConfig")
    yield "mixtral-8x7b", make("MixtralForCausalLM", "MixtralConfig")
    yield "qwen2-0.5b", make(
        "Qwen2ForCausalLM", "Qwen2Config", vocab_size=151936, hidden_size=896, intermediate_size=4864,
        num_hidden_layers=24, num_attention_heads=14, num_key_value_heads=2, tie_word_embeddings=True,
    )  # fmt: skip
    yield "qwen2-moe", make("Qwen2MoeForCausalLM", "Qwen2MoeConfig", num_hidden_layers=4, num_experts=8)
    yield "gemma-2b", make(
        "GemmaForCausalLM", "GemmaConfig", vocab_size=256000, hidden_size=2048, intermediate_size=16384,
        num_hidden_layers=18, num_attention_heads=8, num_key_value_heads=1, head_dim=256,
    )  # fmt: skip
    yield "gemma-2-2b", make(
        "Gemma2ForCausalLM", "Gemma2Config", vocab_size=256000, hidden_size=2304, intermediate_size=9216,
        num_hidden_layers=26, num_attention_heads=8, num_key_value_heads=4, head_dim=256,
    )  # fmt: skip
    yield "phi-1.5", make("PhiForCausalLM", "PhiConfig", num_hidden_layers=24)
    yield "phi-3-mini", make("Phi3ForCausalLM", "Phi3Config", pad_token_id=0)
    yield "stablelm-3b", make("StableLmForCausalLM", "StableLmConfig")
    yield "starcoder2-3b", make("Starcoder2ForCausalLM", "Starcoder2Config")
    yield (
        "olmo-1b",
        make("OlmoForCausalLM", "OlmoConfig", num_hidden_layers=16, hidden_size=2048, intermediate_size=8192),
    )
    yield "t5-small", make("T5ForConditionalGeneration", "T5Config")
    yield "flan-t5-base", make(
        "T5ForConditionalGeneration", "T5Config", d_model=768, d_ff=2048, num_layers=12, num_heads=12,
        feed_forward_proj="gated-gelu", tie_word_embeddings=False,
    )  # fmt: skip
    yield "t5-encoder-xxl", make(
        "T5EncoderModel", "T5Config", d_model=4096, d_ff=10240, num_layers=24, num_heads=64,
        feed_forward_proj="gated-gelu",
    )  # fmt: skip
    yield "bart-base", make(
        "BartForConditionalGeneration", "BartConfig", d_model=768, encoder_layers=6, decoder_layers=6,
        encoder_ffn_dim=3072, decoder_ffn_dim=3072, encoder_attention_heads=12, decoder_attention_heads=12,
    )  # fmt: skip
    yield "bart-large-mnli", make("BartForSequenceClassification", "BartConfig", num_labels=3)
    yield "pegasus", make("PegasusForConditionalGeneration", "PegasusConfig", encoder_layers=2, decoder_layers=2)
    yield "marian", make(
        "MarianMTModel", "MarianConfig", d_model=512, encoder_layers=6, decoder_layers=6, pad_token_id=58100,
        encoder_ffn_dim=2048, decoder_ffn_dim=2048,
    )  # fmt: skip
    yield "clip-vit-base-patch32", make("CLIPModel", "CLIPConfig")
    yield (
        "clip-text-large",
        make("CLIPTextModel", "CLIPTextConfig", hidden_size=768, intermediate_size=3072, num_attention_heads=12),
    )
    yield (
        "clip-vision-large",
        make(
            "CLIPVisionModel",
            "CLIPVisionConfig",
            hidden_size=1024,
            intermediate_size=4096,
            num_hidden_layers=24,
            patch_size=14,
            num_attention_heads=16,
        ),
    )
    yield "siglip-base", make("SiglipModel", "SiglipConfig")
    yield "vit-base-patch16-224", make("ViTForImageClassification", "ViTConfig", num_labels=1000)
    yield "vit-mae-base", make("ViTMAEForPreTraining", "ViTMAEConfig")
    yield "beit-base", make("BeitForImageClassification", "BeitConfig", use_relative_position_bias=True)
    yield "swin-tiny", make("SwinForImageClassification", "SwinConfig", num_labels=1000)
    yield "dinov2-base", make("Dinov2Model", "Dinov2Config", patch_size=14, image_size=518)
    yield "segformer-b0", make("SegformerForSemanticSegmentation", "SegformerConfig", num_labels=150)
    yield "convnext-tiny", make("ConvNextForImageClassification", "ConvNextConfig", num_labels=1000)
    yield "resnet-50", make("ResNetForImageClassification", "ResNetConfig", num_labels=1000)
    yield "sam-vit-base", make("SamModel", "SamConfig")
    yield "whisper-tiny", make(
        "WhisperForConditionalGeneration", "WhisperConfig", d_model=384, encoder_layers=4, decoder_layers=4,
        encoder_ffn_dim=1536, decoder_ffn_dim=1536, encoder_attention_heads=6, decoder_attention_heads=6,
    )  # fmt: skip
    yield "wav2vec2-base-960h", make("Wav2Vec2ForCTC", "Wav2Vec2Config")
    yield "wav2vec2-base", make("Wav2Vec2ForPreTraining", "Wav2Vec2Config")
    yield "hubert-base", make("HubertModel", "HubertConfig")
    yield "falcon-7b", make(
        "FalconForCausalLM", "FalconConfig", vocab_size=65024, hidden_size=4544, num_hidden_layers=32,
        num_attention_heads=71,
    )  # fmt: skip
    yield "mamba-130m", make("MambaForCausalLM", "MambaConfig", num_hidden_layers=24, vocab_size=50280)
    yield "rwkv-169m", make("RwkvForCausalLM", "RwkvConfig", hidden_size=768, num_hidden_layers=12)
    yield "blip-base", make("BlipForConditionalGeneration", "BlipConfig")
    yield "detr-like-yolos", make("YolosForObjectDetection", "YolosConfig")
    yield "layoutlm-base", make("LayoutLMModel", "LayoutLMConfig")
    yield "longformer", make("LongformerModel", "LongformerConfig")
    yield (
        "vision-encoder-decoder",
        lambda: hf.VisionEncoderDecoderModel(
            hf.VisionEncoderDecoderConfig.from_encoder_decoder_configs(
                hf.ViTConfig(), hf.GPT2Config(add_cross_attention=True)
            )
        ),
    )


def transformers_more() -> Recipes:
    """More of the same library."""
    import transformers as hf

    def make(model: str, config: str, **kwargs: Any) -> Callable[[], Any]:
        return lambda: getattr(hf, model)(getattr(hf, config)(**kwargs))

    yield "olmo-2-1b", make(
        "Olmo2ForCausalLM", "Olmo2Config", vocab_size=100352, hidden_size=2048, intermediate_size=8192,
        num_hidden_layers=16, num_attention_heads=16,
    )  # fmt: skip
    yield "modernbert-base", make("ModernBertForMaskedLM", "ModernBertConfig")
    yield "mpt-7b", make("MptForCausalLM", "MptConfig", d_model=4096, n_layers=32, n_heads=32, vocab_size=50432)
    yield "wavlm-base", make("WavLMModel", "WavLMConfig")
    yield "encodec-24khz", make("EncodecModel", "EncodecConfig")
    yield "vits-mms", make("VitsModel", "VitsConfig")
    yield (
        "detr-resnet-50",
        make("DetrForObjectDetection", "DetrConfig", use_timm_backbone=False, use_pretrained_backbone=False),
    )
    yield "depth-anything-small", make("DepthAnythingForDepthEstimation", "DepthAnythingConfig")


def transformers_new() -> Recipes:
    """What only its version 5 has, and names in memory as in its files."""
    import transformers as hf

    def make(model: str, config: str, **kwargs: Any) -> Callable[[], Any]:
        return lambda: getattr(hf, model)(getattr(hf, config)(**kwargs))

    yield "qwen3-0.6b", make(
        "Qwen3ForCausalLM", "Qwen3Config", vocab_size=151936, hidden_size=1024, intermediate_size=3072,
        num_hidden_layers=28, num_attention_heads=16, num_key_value_heads=8, head_dim=128,
    )  # fmt: skip
    yield "gemma-3-1b", make(
        "Gemma3ForCausalLM", "Gemma3TextConfig", vocab_size=262144, hidden_size=1152, intermediate_size=6912,
        num_hidden_layers=26, num_attention_heads=4, num_key_value_heads=1, head_dim=256,
    )  # fmt: skip


def timm_more() -> Recipes:
    """More models of timm."""
    import timm as library

    names = (
        "resnetv2_50x1_bit mobilevit_s repvgg_b0 ghostnet_100 nfnet_f0 hiera_tiny_224 davit_tiny resnest50d"
        " efficientformer_l1 fastvit_t8"
    ).split()
    for name in names:
        yield name, _call(library.create_model, name)


def diffusers() -> Recipes:
    """The models of Hugging Face's diffusers."""
    import diffusers as hf

    sd1 = {"cross_attention_dim": 768, "attention_head_dim": 8}
    sd2 = {"cross_attention_dim": 1024, "attention_head_dim": (5, 10, 20, 20), "use_linear_projection": True}
    sdxl = {
        "cross_attention_dim": 2048, "attention_head_dim": (5, 10, 20), "use_linear_projection": True,
        "block_out_channels": (320, 640, 1280), "transformer_layers_per_block": (1, 2, 10),
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        "addition_embed_type": "text_time", "addition_time_embed_dim": 256,
        "projection_class_embeddings_input_dim": 2816,
    }  # fmt: skip
    yield "unet-sd1", _call(hf.UNet2DConditionModel, **sd1)
    yield "unet-sd1-inpainting", _call(hf.UNet2DConditionModel, in_channels=9, **sd1)
    yield "unet-sd2", _call(hf.UNet2DConditionModel, **sd2)
    yield "unet-sdxl", _call(hf.UNet2DConditionModel, **sdxl)
    vae = {
        "block_out_channels": (128, 256, 512, 512), "layers_per_block": 2,
        "down_block_types": ("DownEncoderBlock2D",) * 4, "up_block_types": ("UpDecoderBlock2D",) * 4,
    }  # fmt: skip
    yield "vae-sd", _call(hf.AutoencoderKL, latent_channels=4, **vae)
    yield (
        "vae-flux",
        _call(hf.AutoencoderKL, latent_channels=16, use_quant_conv=False, use_post_quant_conv=False, **vae),
    )
    yield "controlnet-sd1", _call(hf.ControlNetModel, **sd1)
    yield "dit-xl-2", _call(
        hf.DiTTransformer2DModel, num_attention_heads=16, attention_head_dim=72, in_channels=4, out_channels=8,
        num_layers=28, sample_size=32, patch_size=2, num_embeds_ada_norm=1000, attention_bias=True,
    )  # fmt: skip
    yield "flux-dev", _call(hf.FluxTransformer2DModel, guidance_embeds=True)
    yield (
        "sd3-medium",
        _call(hf.SD3Transformer2DModel, num_layers=24, num_attention_heads=24, caption_projection_dim=1536),
    )
    yield "ddpm", _call(hf.UNet2DModel)
    yield "taesd", _call(hf.AutoencoderTiny)


def ultralytics() -> Recipes:
    """Ultralytics' detectors."""
    from ultralytics.nn import tasks

    def make(kind: str, config: str) -> Callable[[], Any]:
        return lambda: getattr(tasks, kind)(config, verbose=False)

    yield "yolov8n", make("DetectionModel", "yolov8n.yaml")
    yield "yolov8m-seg", make("SegmentationModel", "yolov8m-seg.yaml")
    yield "yolov8s-pose", make("PoseModel", "yolov8s-pose.yaml")
    yield "yolov8n-cls", make("ClassificationModel", "yolov8n-cls.yaml")
    yield "yolo11n", make("DetectionModel", "yolo11n.yaml")
    yield "yolo11m", make("DetectionModel", "yolo11m.yaml")
    yield "yolov5nu", make("DetectionModel", "yolov5n.yaml")
    yield "yolov3u", make("DetectionModel", "yolov3.yaml")
    yield "yolov9c", make("DetectionModel", "yolov9c.yaml")
    yield "yolov10n", make("DetectionModel", "yolov10n.yaml")
    yield "rtdetr-l", make("RTDETRDetectionModel", "rtdetr-l.yaml")


def yolov5() -> Recipes:
    """The first generation of Ultralytics' code."""
    from yolov5.models.yolo import Model

    folder = Path(sys.modules["yolov5"].__file__).parent / "models"  # type: ignore[arg-type]
    for size in "nsm":
        yield f"yolov5{size}", _call(Model, str(folder / f"yolov5{size}.yaml"))


def whisper() -> Recipes:
    """OpenAI's whisper."""
    from whisper.model import ModelDimensions, Whisper

    sizes = {"tiny": (384, 6, 4), "base.en": (512, 8, 6), "small": (768, 12, 12)}
    for name, (width, heads, layers) in sizes.items():
        vocab = 51864 if name.endswith(".en") else 51865
        dims = ModelDimensions(80, 1500, width, heads, layers, vocab, 448, width, heads, layers)
        yield (
            name,
            lambda dims=dims: {
                name: value.to_dense() if value.is_sparse else value
                for name, value in Whisper(dims).state_dict().items()
            },
        )


def open_clip() -> Recipes:
    """OpenAI's and others' CLIP in its first layout."""
    import open_clip as library

    for name in ("ViT-B-32", "ViT-L-14", "RN50", "ViT-H-14", "convnext_base_w", "ViT-B-16-SigLIP"):
        yield name, _call(library.create_model, name, device="meta")


def segment_anything() -> Recipes:
    """Meta's SAM."""
    from segment_anything import sam_model_registry

    yield "vit_b", sam_model_registry["vit_b"]
    yield "vit_h", sam_model_registry["vit_h"]


def spandrel() -> Recipes:
    """Super-resolution and restoration."""
    from importlib import import_module

    def net(place: str, name: str, **kwargs: Any) -> Callable[[], Any]:
        return lambda: getattr(import_module(f"spandrel.architectures.{place}"), name)(**kwargs)

    rrdb = {"in_nc": 3, "out_nc": 3, "num_filters": 64, "scale": 4}
    yield "esrgan-x4-first-layout", net("ESRGAN.__arch.RRDB", "RRDBNet", num_blocks=23, **rrdb)
    yield "swinir-m-x4", net(
        "SwinIR.__arch.SwinIR", "SwinIR", upscale=4, img_size=64, window_size=8, depths=[6] * 6, embed_dim=180,
        num_heads=[6] * 6, mlp_ratio=2, upsampler="pixelshuffle", resi_connection="1conv",
    )  # fmt: skip
    yield "realesr-general-x4v3", net("Compact.__arch.SRVGG", "SRVGGNetCompact", num_feat=64, num_conv=32, upscale=4)
    yield "nafnet", net("NAFNet.__arch.NAFNet_arch", "NAFNet")
    yield "scunet", net("SCUNet.__arch.SCUNet", "SCUNet")


def segmentation_models_pytorch() -> Recipes:
    """Segmentation with borrowed encoders."""
    import segmentation_models_pytorch as smp

    yield "unet-resnet34", _call(smp.Unet, "resnet34", encoder_weights=None)
    yield "unet-resnet50", _call(smp.Unet, "resnet50", encoder_weights=None, classes=5)
    yield "unet-efficientnet-b0", _call(smp.Unet, "efficientnet-b0", encoder_weights=None)
    yield "unetplusplus-resnet34", _call(smp.UnetPlusPlus, "resnet34", encoder_weights=None)
    yield "fpn-resnet34", _call(smp.FPN, "resnet34", encoder_weights=None)
    yield "deeplabv3plus-resnet34", _call(smp.DeepLabV3Plus, "resnet34", encoder_weights=None)


def efficientnet_pytorch() -> Recipes:
    """EfficientNet before torchvision and timm had it."""
    from efficientnet_pytorch import EfficientNet

    yield "efficientnet-b0", _call(EfficientNet.from_name, "efficientnet-b0")
    yield "efficientnet-b4", _call(EfficientNet.from_name, "efficientnet-b4")


def facenet_pytorch() -> Recipes:
    """Faces."""
    from facenet_pytorch.models import inception_resnet_v1 as net
    from facenet_pytorch.models import mtcnn

    yield "vggface2", _call(net.InceptionResnetV1, classify=True, num_classes=8631)
    for name in ("PNet", "RNet", "ONet"):
        yield name.lower(), _call(getattr(mtcnn, name), pretrained=False)


def demucs() -> Recipes:
    """Source separation."""
    from demucs.demucs import Demucs
    from demucs.hdemucs import HDemucs
    from demucs.htdemucs import HTDemucs

    sources = ["drums", "bass", "other", "vocals"]
    for name, kind in (("demucs", Demucs), ("hdemucs", HDemucs), ("htdemucs", HTDemucs)):
        yield name, _call(kind, sources)


def compvis() -> Recipes:
    """Stable Diffusion in its first layout (the package stable-diffusion-sdkit, and transformers for the text part)."""
    from ldm.modules.diffusionmodules.model import Decoder, Encoder
    from ldm.modules.diffusionmodules.openaimodel import UNetModel
    from torch import nn
    from transformers import CLIPTextConfig, CLIPTextModel

    def unet(**kwargs: Any) -> Any:
        return UNetModel(
            image_size=32, in_channels=4, out_channels=4, model_channels=320, attention_resolutions=[4, 2, 1],
            num_res_blocks=2, channel_mult=[1, 2, 4, 4], use_spatial_transformer=True, transformer_depth=1,
            use_checkpoint=False, legacy=False, **kwargs,
        )  # fmt: skip

    def vae() -> Any:
        made = nn.Module()
        shape: dict[str, Any] = {
            "double_z": True, "z_channels": 4, "resolution": 256, "in_channels": 3, "out_ch": 3, "ch": 128,
            "ch_mult": [1, 2, 4, 4], "num_res_blocks": 2, "attn_resolutions": [], "dropout": 0.0,
        }  # fmt: skip
        made.encoder, made.decoder = Encoder(**shape), Decoder(**shape)
        made.quant_conv, made.post_quant_conv = nn.Conv2d(8, 8, 1), nn.Conv2d(4, 4, 1)
        return made

    def whole() -> Any:
        made, model, text = nn.Module(), nn.Module(), nn.Module()
        model.diffusion_model = unet(num_heads=8, context_dim=768)
        text.transformer = CLIPTextModel(
            CLIPTextConfig(hidden_size=768, intermediate_size=3072, num_attention_heads=12)
        )
        made.model, made.first_stage_model, made.cond_stage_model = model, vae(), text
        for name in ("betas", "alphas_cumprod", "sqrt_alphas_cumprod", "posterior_variance"):
            made.register_buffer(name, torch.empty(1000))
        return made

    yield "unet-sd1", _call(unet, num_heads=8, context_dim=768)
    yield "unet-sd2", _call(unet, num_head_channels=64, context_dim=1024, use_linear_in_transformer=True)
    yield "vae-sd", vae
    yield "stable-diffusion-1", whole


def layouts() -> Recipes:
    """Layouts whose code is in no package: another library's names and shapes, renamed as converters do."""
    import diffusers
    import transformers as hf

    def renamed(model: Any, rules: list[tuple[str, str]], turned: str = r"(?!)") -> Any:
        found = {}
        for name, tensor in model.state_dict().items():
            new = name
            for pattern, text in rules:
                new = re.sub(pattern, text, new)
            found[new] = tensor.T if re.search(turned, name) else tensor
        return found

    llama = [
        (r"^model\.", ""), ("embed_tokens", "tok_embeddings"), (r"self_attn\.(.)_proj", r"attention.w\1"),
        ("lm_head", "output"),
        (r"mlp\.gate_proj", "feed_forward.w1"), (r"mlp\.down_proj", "feed_forward.w2"),
        (r"mlp\.up_proj", "feed_forward.w3"), ("input_layernorm", "attention_norm"),
        ("post_attention_layernorm", "ffn_norm"),
    ]  # fmt: skip

    def sdxl() -> Any:
        unet = diffusers.UNet2DConditionModel(
            cross_attention_dim=2048, attention_head_dim=(5, 10, 20), use_linear_projection=True,
            block_out_channels=(320, 640, 1280), transformer_layers_per_block=(1, 2, 10),
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"), addition_embed_type="text_time",
            addition_time_embed_dim=256, projection_class_embeddings_input_dim=2816,
        )  # fmt: skip
        rules = [
            (r"^time_embedding\.linear_1", "time_embed.0"), (r"^time_embedding\.linear_2", "time_embed.2"),
            (r"^add_embedding\.linear_1", "label_emb.0.0"), (r"^add_embedding\.linear_2", "label_emb.0.2"),
            ("^conv_in", "input_blocks.0.0"), ("^conv_norm_out", "out.0"), ("^conv_out", "out.2"),
            (r"^mid_block\.attentions\.0", "middle_block.1"), (r"^mid_block\.resnets\.0", "middle_block.0"),
            (r"^mid_block\.resnets\.1", "middle_block.2"),
        ]  # fmt: skip
        for stage in range(3):
            rules.append((rf"^down_blocks\.{stage}\.downsamplers\.0\.conv", f"input_blocks.{3 * stage + 3}.0.op"))
            rules.append((rf"^up_blocks\.{stage}\.upsamplers\.0", f"output_blocks.{3 * stage + 2}.2"))
            for block in range(3):
                for part, place in (("resnets", 0), ("attentions", 1)):
                    down, up = (
                        f"input_blocks.{3 * stage + block + 1}.{place}",
                        f"output_blocks.{3 * stage + block}.{place}",
                    )
                    rules.append((rf"^down_blocks\.{stage}\.{part}\.{block}", down))
                    rules.append((rf"^up_blocks\.{stage}\.{part}\.{block}", up))
        start = r"^((?:input|output|middle)_blocks?\.[\d.]+)\."
        inner = ("norm1", "in_layers.0"), ("conv1", "in_layers.2"), ("norm2", "out_layers.0"), ("conv2", "out_layers.3")
        for old, new in (*inner, ("time_emb_proj", "emb_layers.1"), ("conv_shortcut", "skip_connection")):
            rules.append((rf"{start}{old}\.", rf"\1.{new}."))
        return {f"model.diffusion_model.{name}": tensor for name, tensor in renamed(unet, rules).items()}

    def lora() -> Any:
        unet = diffusers.UNet2DConditionModel(cross_attention_dim=768, attention_head_dim=8)
        found = {}
        for name, tensor in unet.state_dict().items():
            layer = re.fullmatch(r"(.*attn[12]\.to_(?:q|k|v|out\.0))\.weight", name)
            if layer is not None:
                start = "lora_unet_" + layer[1].replace(".", "_")
                found[f"{start}.lora_down.weight"] = tensor.new_empty(16, tensor.shape[1])
                found[f"{start}.lora_up.weight"] = tensor.new_empty(tensor.shape[0], 16)
                found[f"{start}.alpha"] = tensor.new_empty(())
        return found

    yield "llama-2-7b", lambda: renamed(hf.LlamaForCausalLM(hf.LlamaConfig()), llama)
    yield "nanogpt", lambda: renamed(hf.GPT2LMHeadModel(hf.GPT2Config()), [], r"(c_attn|c_proj|c_fc)\.weight")
    yield "kohya-sd1", lora
    yield "unet-sdxl", sdxl


def lpips() -> Recipes:
    """Perceptual distances: the heads that the package brings."""
    from lpips import LPIPS

    for net in ("alex", "vgg", "squeeze"):
        yield (
            net,
            lambda net=net: {
                name: tensor
                for name, tensor in LPIPS(pretrained=False, pnet_rand=True, net=net, verbose=False).state_dict().items()
                if name.startswith("lin") and not name.startswith("lins")
            },
        )


def peft() -> Recipes:
    """Adapters."""
    import peft as library
    import transformers as hf

    def adapter() -> Any:
        small = hf.LlamaConfig(hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=4)
        config = library.LoraConfig(r=8, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM")
        return library.get_peft_model_state_dict(library.get_peft_model(hf.LlamaForCausalLM(small), config))

    yield "lora-llama", adapter


LIBRARIES = (
    torchvision, timm, timm_more, transformers, transformers_more, transformers_new, diffusers,
    ultralytics, yolov5, whisper, open_clip, segment_anything, spandrel,
    segmentation_models_pytorch, efficientnet_pytorch, facenet_pytorch, demucs, peft,
    compvis, layouts, lpips,
)  # fmt: skip


def _built(make: Callable[[], Any]) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with torch.device("meta"):
                return make()
        except (NotImplementedError, RuntimeError):  # a constructor that looks at values: it needs real ones
            return make()


def write(library: Callable[[], Recipes]) -> None:
    """One library's table: ``= NAME`` before each model, then a line a tensor."""
    lines: list[str] = []
    for name, make in library():
        made = _built(make)
        state = made if isinstance(made, dict) else made.state_dict()
        lines.append(f"= {name}")
        for key, tensor in state.items():
            if isinstance(tensor, torch.Tensor):
                shape = ",".join(map(str, tensor.shape))
                lines.append(f"{key} {str(tensor.dtype).removeprefix('torch.')} {shape}".rstrip())
        print(library.__name__, name, len(state), flush=True)
    FOLDER.mkdir(parents=True, exist_ok=True)
    text = "\n".join([*lines, ""]).encode()
    (FOLDER / f"{library.__name__}.txt.xz").write_bytes(lzma.compress(text, preset=9 | lzma.PRESET_EXTREME))


if __name__ == "__main__":
    for library in LIBRARIES:
        if library.__name__ in sys.argv[1:]:
            write(library)
