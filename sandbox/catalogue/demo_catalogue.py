"""The images of the demo: with the sizes and layers of real images."""

from sandbox.catalogue.image import Image
from sandbox.catalogue.upstream import Catalogue

_BOTH = ("linux/amd64", "linux/arm64")

# fmt: off
_IMAGES: tuple[tuple[str, str, Image], ...] = (
    (
        "docker.io/anyscale/ray-ml",
        "2.7.0",
        Image(
            layers=(
                30_430_000, 2_340_000, 115_600_000, 214_300_000, 1_420, 11_600_000, 988_000_000,
                1_270_000_000, 85_300_000, 32, 446_200_000, 92_500_000, 6_400_000, 1_190,
                71_800_000, 1_034_000_000, 2_871_000_000, 1_655_000_000, 512_700_000, 12_300_000,
                168_400_000, 47_600_000, 2_048, 61_800_000,
            ),
            flavour="docker",
            build="ray-ml:2.7.0",
        ),
    ),
    (
        "docker.io/library/busybox",
        "1.37.0-musl",
        Image((846_592,), _BOTH, attestations=True, build="busybox:1.37.0-musl"),
    ),
    (
        "docker.io/library/alpine",
        "3.20",
        Image((3_623_892,), _BOTH, attestations=True, build="alpine:3.20"),
    ),
    (
        "docker.io/vllm/vllm-openai",
        "v0.6.3",
        Image(
            (
                30_440_000, 4_610_000, 57_600_000, 188, 6_880, 67_900_000, 1_062_000_000,
                9_100_000, 2_140_000_000, 214_000_000, 1_420_000_000, 27_300_000,
            ),
            flavour="docker",
            build="vllm-openai:v0.6.3",
        ),
    ),
    (
        "docker.io/prestream/arm-only",
        "1.0",
        Image((28_100_000, 310_000_000), ("linux/arm64",), index=True, build="arm-only:1.0"),
    ),
    (
        "docker.io/prestream/schema-1",
        "1.0",
        Image((31_000_000, 402_000_000), flavour="schema-1", build="schema-1:1.0"),
    ),
    (
        "docker.io/prestream/repeated-layer",
        "1.0",
        Image((29_500_000, 280_000_000), repeats_layer=True, build="repeated-layer:1.0"),
    ),
    (
        "ghcr.io/huggingface/text-generation-inference",
        "2.4.0",
        Image(
            (
                30_440_000, 4_620_000, 58_300_000, 1_690, 71_000_000, 1_480_000_000, 2_310_000_000,
                640_000_000, 38_900_000, 9_400,
            ),
            index=True,
            attestations=True,
            build="text-generation-inference:2.4.0",
        ),
    ),
    (
        "quay.io/jupyter/pytorch-notebook",
        "2024-10-28",
        Image(
            (29_540_000, 32, 12_300_000, 61_700_000, 98_000_000, 412_000_000, 1_930_000_000),
            _BOTH,
            build="pytorch-notebook:2024-10-28",
        ),
    ),
    (
        "nvcr.io/nvidia/pytorch",
        "24.11-py3",
        Image(
            (
                30_440_000, 9_800_000, 612_000_000, 1_180_000_000, 44_000_000, 2_260_000_000,
                716_000_000, 5_300, 1_540_000_000, 388_000_000, 2_450_000_000, 173_000_000,
                602_000_000,
            ),
            _BOTH,
            flavour="docker",
            build="pytorch:24.11-py3",
        ),
    ),
    ("registry.k8s.io/pause", "3.10", Image((318_000,), _BOTH, flavour="docker", build="pause")),
    (
        "registry.k8s.io/dra-example-driver/dra-example-driver",
        "v0.1.0",
        Image((30_100_000, 212_000_000, 18_700_000), _BOTH, build="dra-example-driver:v0.1.0"),
    ),
    (
        "public.ecr.aws/deep-learning-containers/pytorch-training",
        "2.4.0-gpu-py311",
        Image(
            (27_500_000, 84_000_000, 512_000_000, 3_960_000_000, 1_270_000_000, 402_000_000),
            flavour="docker",
            build="pytorch-training:2.4.0-gpu-py311",
        ),
    ),
)
# fmt: on


def demo_catalogue() -> Catalogue:
    """Return a catalogue of large and small images of every upstream."""
    catalogue = Catalogue()
    for name, tag, image in _IMAGES:
        catalogue.add(name, tag, image)
    return catalogue
