import torch
from torch.nn.functional import scaled_dot_product_attention

from models.sagan import SAGANDiscriminator, SAGANGenerator, SelfAttention


def test_the_generator_is_the_reported_one(layers):
    assert layers(SAGANGenerator()) == (
        "SN T(128→512,4,1,0) BN ReLU SN T(512→256,4,2,1) BN ReLU SN T(256→128,4,2,1) BN ReLU attention(128) "
        "SN T(128→64,4,2,1) BN ReLU attention(64) T(64→3,4,2,1) Tanh"
    )


def test_the_discriminator_is_the_reported_one(layers):
    assert layers(SAGANDiscriminator()) == (
        "SN C(3→64,4,2,1) LReLU0.1 SN C(64→128,4,2,1) LReLU0.1 SN C(128→256,4,2,1) LReLU0.1 attention(256) "
        "SN C(256→512,4,2,1) LReLU0.1 attention(512) C(512→1,4,1,0)"
    )


def test_attention_projects_queries_and_keys_to_an_eighth_of_the_channels():
    attention = SelfAttention(64)
    shapes = {name: tuple(parameter.shape) for name, parameter in attention.named_parameters()}
    assert shapes == {
        "gamma": (1,),
        **{"query.weight": (8, 64, 1, 1), "query.bias": (8,), "key.weight": (8, 64, 1, 1), "key.bias": (8,)},
        **{"value.weight": (64, 64, 1, 1), "value.bias": (64,)},
    }


def test_attention_starts_as_the_identity():
    features = torch.randn(2, 16, 5, 4)
    assert torch.equal(SelfAttention(16)(features), features)


def test_attention_equals_pytorch_s():
    attention = SelfAttention(16).double()
    features = torch.randn(2, 16, 5, 4, dtype=torch.double)
    torch.nn.init.constant_(attention.gamma, 0.7)

    def project(layer):
        return torch.einsum("oi,nihw->nhwo", layer.weight[:, :, 0, 0], features).flatten(1, 2) + layer.bias

    query, key, value = map(project, (attention.query, attention.key, attention.value))
    attended = scaled_dot_product_attention(query, key, value, scale=1.0)
    expected = features + 0.7 * attended.unflatten(1, (5, 4)).permute(0, 3, 1, 2)
    torch.testing.assert_close(attention(features), expected)
