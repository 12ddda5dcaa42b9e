"""Settings as data: one YAML file a stage and environment, `recipes/STAGE/ENV.yaml`; for pretraining a backbone.

A command takes the recipe of its environment by itself. What is on the command line wins over it, then what is in
`--config FILE`; any recipe can be such a FILE. One that names `data`, `backbone`, `env_options`, `referee` or `full`
was tuned for these alone, and is left alone where they are given otherwise. An environment of your own brings its
recipes in a folder `recipes` beside the module of its task. `agents.setup.recipe_of` finds them.
"""
