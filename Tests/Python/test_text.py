"""Text to ids to batches."""

import pickle

import embedkernel as ek
import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given


@given(st.text(max_size=60))
def test_bytes(text):
    tokenizer = ek.Tokenizer()
    ids = tokenizer.encode(text)
    assert ids.dtype == np.int32 and ids.tolist() == list(text.encode())
    assert tokenizer.decode(ids) == text and tokenizer.decode_bytes(ids) == text.encode()


def test_tokenizer(tmp_path):
    tokenizer = ek.Tokenizer()
    assert tokenizer.vocabulary >= 256 and tokenizer.special("<|nothing|>") is None
    assert tokenizer.encode(b"ab").tolist() == [97, 98] and tokenizer.decode([]) == ""
    assert pickle.loads(pickle.dumps(tokenizer)).encode("x").tolist() == [120]
    with pytest.raises(FileNotFoundError):
        ek.Tokenizer(tmp_path / "none.tiktoken")
    with pytest.raises(IndexError):
        tokenizer.decode([100000])
    with pytest.raises(TypeError):
        tokenizer.encode(5)


def test_ranks(tmp_path):
    import base64

    words = [bytes([i]) for i in range(256)] + [b"ab", b"abc"]
    lines = (f"{base64.b64encode(word).decode()} {rank}\n" for rank, word in enumerate(words))
    (tmp_path / "x.tiktoken").write_text("".join(lines))
    tokenizer = ek.Tokenizer(tmp_path / "x.tiktoken")
    assert tokenizer.encode("abcab").tolist() == [257, 256]
    assert tokenizer.decode([257, 256, 33]) == "abcab!"
    long = "abcab abc! " * 100_000
    once = tokenizer.encode(long)
    assert once.base is None and once.dtype == np.int32
    for threads in (0, 2, 3):
        assert np.array_equal(tokenizer.encode(long, threads=threads), once)
    assert tokenizer.decode(once) == long and tokenizer.encode("").shape == (0,)
    with pytest.raises(ValueError, match="threads"):
        tokenizer.encode("a", threads=-1)


@given(st.integers(2, 60), st.integers(1, 8), st.integers(1, 4), st.integers(1, 6), st.booleans())
def test_windows(count, context, batch, stride, keep_last):
    tokens = np.arange(count)
    starts = list(range(0, count - context, stride))
    options = {"context": context, "batch": batch, "stride": stride, "keep_last": keep_last}
    try:
        windows = ek.Windows(tokens, **options)
    except ValueError:
        assert len(starts) < (1 if keep_last else batch)
        return
    assert windows.count == len(starts)
    seen = []
    for inputs, targets in windows:
        assert inputs.shape == targets.shape and inputs.shape[1] == context
        assert np.array_equal(inputs + 1, targets)
        seen += inputs[:, 0].tolist()
    whole = len(starts) if keep_last else len(starts) // batch * batch
    assert seen == starts[:whole] and len(windows) == -(-whole // batch)


def test_shuffled_and_files(tmp_path):
    tokens = np.arange(1000) % 500
    ek.save_tokens(tmp_path / "x.bin", tokens)
    assert np.array_equal(np.fromfile(tmp_path / "x.bin", np.uint16), tokens)
    a = ek.Windows(tokens, context=10, batch=4, seed=1)
    b = ek.Windows(tmp_path / "x.bin", context=10, batch=4, seed=1)
    later = ek.Windows(tokens, context=10, batch=4, seed=1, epoch=1)
    for i in range(len(a)):
        assert np.array_equal(a[i][0], b[i][0]) and np.array_equal(a[i][1], b[i][1])
    assert not np.array_equal(a[0][0], later[0][0])
    assert np.array_equal(a[-1][0], a[len(a) - 1][0])
    with pytest.raises(IndexError):
        a[len(a)]
    with pytest.raises(ValueError):
        ek.Windows(tokens, context=0, batch=1)
    with pytest.raises(FileNotFoundError):
        ek.Windows(tmp_path / "none.bin", context=1, batch=1)
    ek.save_tokens(tmp_path / "y.bin", [70000])
    assert np.fromfile(tmp_path / "y.bin", np.uint32).tolist() == [70000]
    with pytest.raises((ValueError, IndexError)):
        ek.save_tokens(tmp_path / "z.bin", [70000], width=2)
