"""Open Inference v2, the protocol of KServe and Triton: tensors in, tensors out; REST here, gRPC in `rpc`."""
