"""The native model as WebAssembly beside onnxruntime-web: the same windows in Node and in a browser, in turns."""
