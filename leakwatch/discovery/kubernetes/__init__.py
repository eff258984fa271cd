"""`kubernetes_sd_configs`: discovery of the pods and endpoint slices of a Kubernetes cluster."""
