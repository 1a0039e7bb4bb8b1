"""Rules over sequences in PyTorch: attention, embeddings, positions, recurrences and CTC."""

import torch
from torch.nn import functional


def attention(query, key, value, *more, block_size=None, scale=None, is_causal=False, local_window_size=None):
    """PyTorch wants heads before time; a bias is floating point, a mask boolean, and lengths are integers."""
    (time, heads), (source, shared) = query.shape[-3:-1], key.shape[-3:-1]
    query, key, value = (x.transpose(-3, -2) for x in (query, key, value))
    key, value = (x.repeat_interleave(heads // shared, -3) for x in (key, value))
    if not more and local_window_size is None:
        y = functional.scaled_dot_product_attention(query, key, value, is_causal=is_causal, scale=scale)
        return y.transpose(-3, -2)
    seen = _seen(time, source, is_causal, local_window_size)
    lengths = [array for array in more if array.dtype == torch.int64]
    for length, positions in zip(lengths, (torch.arange(time)[:, None], torch.arange(source)), strict=False):
        seen = seen & (positions < length[..., None, None, None])
    for mask in (array for array in more if array.dtype == torch.bool):
        seen = seen & mask
    logits = query @ key.mT * (query.shape[-1] ** -0.5 if scale is None else scale)
    logits = logits + sum(array for array in more if array.is_floating_point())
    p = torch.softmax(logits.masked_fill(~seen, -1e300), -1).masked_fill(~seen, 0)
    return (p @ value).transpose(-3, -2)


def _seen(time, source, is_causal, window):
    ahead = torch.arange(source) - torch.arange(time)[:, None]
    left, right = (window, window) if isinstance(window, int) else window or (source + time, source + time)
    return (-left <= ahead) & (ahead <= (0 if is_causal else right))


def embedding(table, ids, padding_index=None):
    return functional.embedding(ids, table, padding_index)


def learned_positions(x, table):
    return x + table[: x.shape[-2]]


def sinusoidal_positions(x, base=10000.0):
    pairs = torch.arange(0, x.shape[-1], 2, dtype=x.dtype)
    angles = torch.arange(x.shape[-2], dtype=x.dtype)[:, None] * base ** (-pairs / x.shape[-1])
    return x + torch.stack([angles.sin(), angles.cos()], -1).flatten(-2)[:, : x.shape[-1]]


def rotary_embedding(x, positions, base=10000.0):
    half = x.shape[-1] // 2
    angles = positions[..., None, None] * base ** (-torch.arange(half, dtype=x.dtype) / half)
    a, b, cos, sin = x[..., :half], x[..., half:], angles.cos(), angles.sin()
    return torch.cat([a * cos - b * sin, b * cos + a * sin], -1)


def rnn(x, w, u, b=None, carry=None, seq_lengths=None, activation="tanh", reverse=False):
    function = torch.rnn_tanh if activation == "tanh" else torch.rnn_relu
    (h,), y = _recurrence(function, [w, u, _zeros(u) if b is None else b, _zeros(u)], x, [carry], seq_lengths, reverse)
    return h, y


def gru(x, w, u, b, b_n, carry, seq_lengths=None, reverse=False):
    b_of_state = torch.cat([_zeros(u)[: -len(b_n)], b_n])
    (h,), y = _recurrence(torch.gru, [w, u, b, b_of_state], x, [carry], seq_lengths, reverse)
    return h, y


def lstm(x, w, u, b, c, h, seq_lengths=None, reverse=False):
    (h, c), y = _recurrence(torch.lstm, [w, u, b, _zeros(u)], x, [h, c], seq_lengths, reverse)
    return c, h, y


def _zeros(u):
    return torch.zeros(u.shape[1], dtype=u.dtype)


def _recurrence(function, weights, x, states, seq_lengths, reverse):
    """PyTorch's recurrence over (batch, time, features); with lengths or in reverse one sequence at a time."""
    batch, (time, features), hidden = x.shape[:-2], x.shape[-2:], weights[1].shape[0]
    x = x.reshape(-1, time, features)
    states = [x.new_zeros(len(x), hidden) if h is None else h.reshape(-1, hidden) for h in states]
    if seq_lengths is None and not reverse:
        last, y = _run(function, weights, x, states)
    else:
        lengths = [time] * len(x) if seq_lengths is None else seq_lengths.reshape(-1).tolist()
        rows = [_one(function, weights, x[i, :n], [h[i] for h in states], reverse) for i, n in enumerate(lengths)]
        last = [torch.stack(h) for h in zip(*(row[0] for row in rows), strict=True)]
        y = torch.stack([functional.pad(row[1], (0, 0, 0, time - len(row[1]))) for row in rows])
    return [h.reshape(*batch, hidden) for h in last], y.reshape(*batch, time, hidden)


def _one(function, weights, x, states, reverse):
    if not len(x):
        return states, x.new_zeros(0, states[0].shape[-1])
    last, y = _run(function, weights, (x.flip(0) if reverse else x)[None], [h[None] for h in states])
    return [h[0] for h in last], y[0].flip(0) if reverse else y[0]


def _run(function, weights, x, states):
    w, u, *biases = weights
    states = [h[None] for h in states]
    y, *last = function(
        x, states if len(states) > 1 else states[0], [w.T, u.T, *biases], True, 1, 0.0, True, False, True
    )
    return [h[0] for h in last], y


def ctc(logits, logit_paddings, labels, label_paddings, blank_id=0):
    batch, (time, classes) = logits.shape[:-2], logits.shape[-2:]
    frames, symbols = (
        (1 - padding).reshape(-1, padding.shape[-1]).sum(-1) for padding in (logit_paddings, label_paddings)
    )
    log_p = torch.log_softmax(logits.reshape(-1, time, classes), -1).transpose(0, 1)
    labels = labels.reshape(-1, labels.shape[-1])
    return functional.ctc_loss(log_p, labels, frames, symbols, blank_id, reduction="none").reshape(batch)
