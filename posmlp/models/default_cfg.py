"""timm's description of a network: what its data loaders and its registry read."""


def default_cfg(size: int, pool: int | None = None, **kwargs) -> dict:
    """What all backbones here have in common, and `kwargs`.

    Args:
        size: pixels per side that the network is built for.
        pool: side of the last feature map.
    """
    return dict(
        url="",
        num_classes=1000,
        input_size=(3, size, size),
        pool_size=pool and (pool, pool),
        interpolation="bicubic",
        fixed_input_size=True,
        license="mit",
        **kwargs,
    )
