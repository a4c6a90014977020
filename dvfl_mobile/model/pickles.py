CONFIG_NODE = "yacs.config.CfgNode"
