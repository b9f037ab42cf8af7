"""Training. The algorithms of `optimizer.name` are listed here.

Each is `module:function`, where the function is
`(config: OptimizerConfig, groups: list[dict[str, Any]]) -> Optimizer`; `groups` are those of
`parameter_groups`.
"""

OPTIMIZERS = {
    "adamw": "simclr.training.optim:adamw",
    "muon": "simclr.training.optim:muon",
    "sgd": "simclr.training.optim:sgd",
    "lars": "simclr.training.optim:lars",
}
