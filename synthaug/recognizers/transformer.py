"""Transformers over space and time: torchvision's MViT and Swin."""

from jaxtyping import Float
from torch import Tensor, nn
from torchvision.models.video import mvit_v2_s, swin3d_t
from torchvision.models.video.mvit import MViT
from torchvision.models.video.swin_transformer import SwinTransformer3d

from synthaug.recognizers import Recognizer
from synthaug.recognizers.weights import load_weights

BUILDERS = {"mvit_v2_s": mvit_v2_s, "swin3d_t": swin3d_t}
HEADS = {"mvit_v2_s": "head.1", "swin3d_t": "head"}
"""Names of the classifiers within the networks."""


class VideoTransformer(Recognizer):
    """One of torchvision's video transformers, unchanged, for clips of any size and length.

    Without pretrained weights, both need far more clips than a few-shot study has.

    Args:
        num_classes: Number of actions.
        arch: "mvit_v2_s" (made for 16 frames of 224 pixels; at other sizes its relative positions are interpolated) or
            "swin3d_t" (made for 32 frames of 224 pixels; windows are padded).
        weights: None trains from scratch. DEFAULT takes torchvision's weights, trained on Kinetics-400 (code
            BSD-3-Clause; the footage is from YouTube) with nearly our normalisation. Otherwise the path of a state
            dict.

    Source:
        Li et al., "MViTv2: Improved Multiscale Vision Transformers", CVPR 2022; Liu et al., "Video Swin Transformer",
        CVPR 2022.
    """

    def __init__(self, num_classes: int, *, arch: str = "mvit_v2_s", weights: str | None = None) -> None:
        super().__init__()
        if arch not in BUILDERS:
            raise ValueError(
                f"Expected recognizer.arch to be one of {', '.join(BUILDERS)}, got {arch!r}. Choose one of them."
            )
        self.net = BUILDERS[arch](num_classes=num_classes)
        self._features = mvit_features if arch == "mvit_v2_s" else swin_features
        self._head = HEADS[arch]
        if weights is not None:
            load_weights(self.net, weights, arch=arch, head=self._head)

    @property
    def num_classes(self) -> int:
        """Width of the logits."""
        return self.classifier.out_features

    @property
    def num_features(self) -> int:
        """768."""
        return self.classifier.in_features

    @property
    def classifier(self) -> nn.Linear:
        """The last layer of its head."""
        classifier = self.net.get_submodule(self._head)
        assert isinstance(classifier, nn.Linear)
        return classifier

    def features(self, video: Float[Tensor, "batch 3 time height width"]) -> Float[Tensor, "batch feature"]:
        """MViT's class token, Swin's mean over time and space."""
        return self._features(self.net, video)

    def forward(self, video: Float[Tensor, "batch 3 time height width"]) -> Float[Tensor, "batch class"]:
        """Logits."""
        return self.net.head(self.features(video))


def mvit_features(net: MViT, video: Float[Tensor, "batch 3 time height width"]) -> Float[Tensor, "batch feature"]:
    """The input of the head of torchvision's MViT, for any size of video; its own forward supports one size only."""
    patches = net.conv_proj(video)
    thw = (patches.shape[2], patches.shape[3], patches.shape[4])
    tokens = net.pos_encoding(patches.flatten(2).transpose(1, 2))
    for block in net.blocks:
        tokens, thw = block(tokens, thw)
    return net.norm(tokens)[:, 0]


def swin_features(
    net: SwinTransformer3d, video: Float[Tensor, "batch 3 time height width"]
) -> Float[Tensor, "batch feature"]:
    """The input of the head of torchvision's Swin."""
    patches = net.norm(net.features(net.pos_drop(net.patch_embed(video))))
    return net.avgpool(patches.permute(0, 4, 1, 2, 3)).flatten(1)
