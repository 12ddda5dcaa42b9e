"""What an estimate is reckoned with: pure functions of sizes, bytes and rates. Bandwidth alone counts, not latency."""

EAGER_LAYER = 1e-3  # seconds of Python and kernel starts for one layer and token in transformers; assumed
ROW_SECONDS = 80e-6  # of one core for a gathered row: unpickling, rewards, advantages; benchmarks/gathered_rows.py
ROW_HELD = 40e3  # bytes of a machine's memory for such a row in each process; likewise
ROW_TOKENS = 768  # of the rows of that measurement
ID_BYTES = 4  # of a token id, pickled
SAMPLED_BYTES = 9  # of a log-probability that a server gave, pickled
FIGURES = 4  # float32 numbers of a response token that are added up: two log-probabilities, entropy, value


def forward_flop(layers: float, head: float, tokens: float, scored: float) -> float:
    """Returns the products and sums of a forward: 2 for each weight and token; attention's own are left out.

    Args:
        layers: weights of the decoder layers that run.
        head: weights of the LM head.
        tokens: that the layers read.
        scored: tokens whose logits are made.
    """
    return 2 * (layers * tokens + head * scored)


def sum_seconds(size: float, inside: int, machines: int, link: float, network: float) -> float:
    """Returns how long GPUs need to add up a message that all of them have, and all get the sum of.

    A ring within each machine, and rings across machines, in each of which one GPU a machine has a share of it.

    Args:
        size: of the message, in bytes.
        inside: GPUs of a machine.
        machines: how many there are.
        link, network: bytes/s within a machine and between machines, each way, for each GPU.
    """
    within = 2 * (inside - 1) / inside * size / link
    return within + 2 * (machines - 1) / machines * (size / inside) / network


def gather_seconds(size: float, shards: int, link: float) -> float:
    """Returns how long a GPU needs to get what others hold of `size` bytes that are cut over `shards` of them."""
    return (shards - 1) / shards * size / link


def token_seconds(weights: float, cache: float, bandwidth: float, layers: int = 0) -> float:
    """Returns the time of one step of sampling, in which weights and cache are read once.

    Args:
        weights: bytes of them.
        cache: bytes of all rows' keys and values so far.
        bandwidth: bytes/s of the memory.
        layers: that Python starts one by one; 0 for an engine, which replays a graph.
    """
    return max((weights + cache) / bandwidth, layers * EAGER_LAYER)


def gathered_bytes(rows: int, prompt: int, response: int, by_server: bool = False) -> int:
    """Returns what a process gets of a rollout of `rows` rows: all ids, and figures that go around twice in a ring.

    Of a rollout that a server has sampled, the log-probabilities of that too.
    """
    of_token = 2 * 4 * FIGURES + (SAMPLED_BYTES if by_server else 0)
    return rows * (ID_BYTES * (prompt + response) + of_token * response)


def engine_width(weights: float, memory: float, most: int) -> int:
    """Returns how many GPUs hold one copy of a server's weights: 1, 2, 4 and so on, half of whose memory is enough.

    Args:
        weights: bytes of the copy.
        memory: bytes of a GPU.
        most: GPUs of a machine, which are taken where none are enough.
    """
    width = 1
    while width < most and weights > width * memory / 2:
        width *= 2
    return min(width, most)
