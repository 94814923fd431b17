"""
The graph tower: a temporal, heterogeneous attention network over members, jobs and attributes.

    from star_features.graph.build import build_graph
    from star_features.graph.settings import GraphSettings
    from star_features.graph.train import train_graph

    graph = build_graph(members, jobs, text, interactions=interactions, lists={"job": ["skills"]})
    model, report = train_graph(graph, labels, GraphSettings(), checkpoint=None)
    ids, vectors_ND = infer(model, graph, as_of, "member")  # star_features.graph.infer

| module | what it answers |
|---|---|
| `settings` | what can be chosen |
| `job_graph` `build` | which nodes and edges there are, from canonical tables; no torch |
| `update` | a graph of yesterday and the rows of today |
| `densify` `neighbours` | edges from those alike by text, for whoever has met few |
| `temporal` | which edges a node may see at a time: the sampler's kernels (numba) |
| `vocabulary` | which rows of a model's tables a graph's nodes and edges read |
| `dgl_graph` | the only module that imports dgl: blocks, attention kernels, loader |
| `network` `losses` | the mathematics, as functions of tensors |
| `labels` `negatives` | what is learnt from, and what it is told from |
| `run` `objective` `budget` | one pass's batches; a batch's loss; how many neighbours are read |
| `train` `checkpoint` | link prediction, from labels to a trained model; killed, it goes on |
| `infer` `artefact` | exact vectors of the whole graph; a model as a folder |

Importing the package itself costs nothing: neither torch nor dgl is loaded before it is used.
"""
