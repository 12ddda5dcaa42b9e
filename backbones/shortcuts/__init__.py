"""Patches torch, peft and transformers; code outside this folder patches nothing.

Most of it saves time or memory, and each is held against the plain path by tests/test_shortcuts.py (from_start saves
nothing: it is how an adapter counts from where it began). After an upgrade of one of these libraries run
tests/test_patches.py first: it goes through every patch in seconds. The first lines of each file say what it patches,
when that is undone and what it relies on. All were tried with transformers 5.23 and 5.24, peft 0.21 and torch 2.13.

| file | patches | undone |
|---|---|---|
| skipped_layers | `forward` of decoder layers; forward hooks on some of them | after each forward |
| frozen_states | a forward hook on a decoder layer; and through skipped_layers | after each forward |
| sampled_states | nothing itself, through frozen_states | after each forward |
| top_mlp | forward hooks on the top layer's MLP | after each forward |
| head_states | hooks on the LM head, and its `forward` where it is left out | after each forward |
| checkpointed | `forward` of all decoder layers but the highest, with `--gradient-checkpointing` | never |
| from_start | an entry in `lora_variant` of peft's LoRA layers, for adapters that begin as PiSSA's | with the adapter |
| low_rank | `__class__` of peft's `lora_B` linear maps | with the adapter |
| precision | `__class__` of linear maps, a forward hook on the embedding, of models in `mixed` | never |
| growing_cache | `layers` of one `DynamicCache`, by a subclass of `DynamicLayer` | with the cache |
| packing | nothing; masks and positions that a model must take as they are | - |
| shared_prefix | nothing; padding that a model must take where it is | - |
| equal_prompts | nothing; rows of a cache that a model must go on from when they are repeated | - |
| shared_lines | nothing; masks and positions as of packing | - |
| planned_attention | an entry in transformers' `AttentionInterface` | never |

`Adapters.merged` (backbones/adapters.py) is no patch: it puts what the weights come to with an adapter in place of the
base weights while responses are sampled, and the old tensors back after it.
"""
