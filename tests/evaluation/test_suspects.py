import torch
import torch.nn.functional as F

from simclr.evaluation.suspects import held_out_shares, suspects


def test_wrong_labels_are_found_and_come_first() -> None:
    generator = torch.Generator().manual_seed(0)
    centres = F.normalize(torch.randn(4, 16, generator=generator))
    right = torch.arange(80) % 4
    features = F.normalize(centres[right] + 0.1 * torch.randn(80, 16, generator=generator))
    wrong = torch.tensor([3, 20, 41, 62])
    labels = right.clone()
    labels[wrong] = (labels[wrong] + 1) % 4
    shares = held_out_shares(features, labels, 4, l2=3e-3)
    assert suspects(shares, labels, most=20).sort().values.tolist() == wrong.tolist()
    assert shares[wrong].argmax(1).equal(right[wrong])
    assert len(suspects(shares, labels, most=2)) == 2


def test_the_only_image_of_its_class_is_no_suspect() -> None:
    features = F.normalize(torch.tensor([[1.0, 0], [1, 0.1], [0, 1], [0.1, 1], [1, 1]]))
    labels = torch.tensor([0, 0, 1, 1, 2])
    shares = held_out_shares(features, labels, 3, l2=3e-3)
    torch.testing.assert_close(shares.sum(1), torch.ones(5))
    assert 4 not in suspects(shares, labels, most=5).tolist()
