"""What came after DiT, as data: four answers a model, with the source of each row."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Model:
    """One model and its answers to four questions.

    Args:
        name: as its authors call it.
        month: of the first public version, "2022-12", or the year.
        predicts: what the network answers.
        space: in which the noise is added.
        condition: where time, class or words enter.
        teacher: what it learns from besides the data.
        source: an arXiv number or a repository with its commit.
        checked: what the row was read in: "paper", "abstract", "code" or "readme".
    """

    name: str
    month: str
    predicts: str
    space: str
    condition: str
    teacher: str
    source: str
    checked: str

    def __str__(self) -> str:
        return (
            f"{self.month} {self.name} ({self.checked})\n  {self.predicts} in {self.space}\n"
            f"  condition: {self.condition}\n  teacher: {self.teacher}\n  {self.source}"
        )


# fmt: off
#: From the oldest to the newest.
MODELS = (
    Model("U-ViT", "2022-09", "noise", "latents", "tokens", "none", "2209.12152", "code"),
    Model("DiT", "2022-12", "noise", "latents", "own layers", "none", "2212.09748", "paper"),
    Model("PixArt-α", "2023-09", "noise", "latents", "shared", "none", "2310.00426", "code"),
    Model("SiT", "2024-01", "velocity", "latents", "own layers", "none", "2401.08740", "code"),
    Model("SD3", "2024-03", "velocity", "latents", "two streams", "none", "2403.03206", "code"),
    Model("FLUX.1-dev", "2024-08", "velocity", "latents", "two streams, parallel", "guided model",
          "black-forest-labs/flux@802fb47", "code"),
    Model("REPA", "2024-10", "velocity", "latents", "own layers", "DINOv2", "2410.06940", "code"),
    Model("Sana", "2024-10", "velocity", "latents", "shared", "none",
          "NVlabs/Sana@2cfb4f7", "code"),
    Model("LightningDiT", "2025-01", "not told", "aligned latents", "not told", "in the space",
          "2501.01423", "abstract"),
    Model("MeanFlow", "2025-05", "mean velocity", "latents", "own layers", "itself",
          "2505.13447", "code"),
    Model("Qwen-Image", "2025-08", "velocity", "latents", "two streams", "not told",
          "QwenLM/Qwen-Image@6b5e1f5", "readme"),
    Model("RAE", "2025-10", "velocity", "DINOv2", "own layers, per token", "the space",
          "2510.11690", "code"),
    Model("JiT", "2025-11", "data", "pixels", "own layers", "none", "2511.13720", "abstract"),
    Model("FLUX.2-dev", "2025-11", "velocity", "latents", "shared", "not told",
          "black-forest-labs/flux2@ab7cca6", "code"),
    Model("Z-Image", "2025-11", "velocity", "latents", "low rank", "not told",
          "Tongyi-MAI/Z-Image@c7ec135", "code"),
    Model("iMF", "2025-12", "mean velocity", "latents", "tokens", "itself", "2512.02012", "code"),
    Model("iREPA", "2025-12", "as its host", "its space", "as its host", "27 encoders",
          "2512.10794", "abstract"),
    Model("pMF", "2026-01", "mean velocity, by data", "pixels", "tokens", "itself, perceptual nets",
          "Lyy-iiis/pMF@04f9e34", "code"),
    Model("Self-Flow", "2026-03", "velocity", "latents", "own layers, per token", "its own average",
          "2603.06507", "code"),
    Model("DAR", "2026-05", "as its host", "its space", "in the residual stream", "none",
          "2605.20708", "abstract"),
    Model("JLT", "2026-05", "data", "latents", "own layers", "none, or its own average",
          "akatsuki-neo/JLT@5f3ed8e", "code"),
    Model("Krea 2", "2026", "velocity", "latents", "shared", "not told",
          "huggingface/diffusers@447e6f4", "code"),
)
# fmt: on

#: What chapter 19 says of code was read in these files (the whole repository, where none is
#: named), each at its commit, on 30 November 2026.
CODE_READ = {
    "kuleshov-group/mdlm@c112c52": ("diffusion.py", "models/dit.py", "noise_schedule.py"),
    "louaaron/Score-Entropy-Discrete-Diffusion@0605786": ("model/transformer.py",),
    "ML-GSAI/LLaDA@b7e6c35": ("GUIDELINES.md", "generate.py"),
    "kuleshov-group/bd3lms@1c3e8f4": (),
    "inclusionAI/dFactory@92b6890": ("tasks/train_llada2_bd.py",),
    "inclusionAI/LLaDA2.X@a798329": ("the reports",),
    "Gen-Verse/MMaDA@3cdb870": (),
    "showlab/Show-o@45a5a2d": (),
    "ByteDance-Seed/Bagel@056b5fd": (),
    "deepseek-ai/Janus@1daa72f": (),
    "Tencent-Hunyuan/HunyuanImage-3.0@1d011c8": (),
    "ML-GSAI/LLaDA-o@c4acef8": (),
    "VectorSpaceLab/OmniGen2@0f72fa9": (),
    "facebookresearch/metaquery@206f6de": (),
    "VITA-MLLM/Omni-Diffusion@c4f4625": (),
    "lucidrains/transfusion-pytorch@3dab4c2": (),
    "huggingface/transformers@008e574": ("Qwen2.5-Omni",),
    "huggingface/transformers@00aa0f5": ("Qwen3-Omni",),
    "huggingface/transformers@00ee1d0": ("DiffusionGemma",),
    "huggingface/diffusers@0052f58": ("Qwen-Image",),
}
