"""`kubernetes_sd_configs`: pods and slices of endpoints of a Kubernetes cluster, listed once and then watched."""
