"""Attention without its matrix of weights."""

from ._attention import dot_product_attention as dot_product_attention
