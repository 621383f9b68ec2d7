// What Python's help() says of the functions that users call straight in C.
#ifndef EMBEDKERNEL_CORE_DOCS_H
#define EMBEDKERNEL_CORE_DOCS_H

PyDoc_STRVAR(
    embed_doc,
    "embed(table, ids, positions=None, *, out=None, offset=None, position_ids=None, "
    "cumulative_lengths=None, mask=None, scale=1.0, unknown='error', overflow='error', "
    "backend='auto', threads=0)\n--\n\n"
    "Gathers token rows and adds position rows: `scale * table[ids] + positions[place]`.\n\n"
    "Args:\n"
    "    table: (V, D) of float32, float16 or bfloat16, C-contiguous; read in place, never "
    "copied.\n"
    "        Or a QuantizedTable: then positions are of any type, and a new array is of float32.\n"
    "    ids: (..., T) integers.\n"
    "    positions: (maximum, D) of the table's type, or None.\n"
    "    out: (..., T, D) of any of the three types, apart from the inputs; else a new array of "
    "the\n"
    "        table's type.\n"
    "    offset: the position of each sequence's first token: a number, or (B).\n"
    "    position_ids: positions of the tokens, (B, T) or (T).\n"
    "    cumulative_lengths: documents one after another, from 0 to B * T; positions start at 0 in "
    "each.\n"
    "    mask: (B, T), False or 0 for padding; a token's position is the number of real ones "
    "before it.\n"
    "    scale: multiplies token rows, such as sqrt(D).\n"
    "    unknown: ids outside the vocabulary: 'error', 'clamp', or 'zero' for a row of zeros.\n"
    "    overflow: positions past the table: 'error' or 'clamp'.\n"
    "    backend: 'auto', 'native', 'simd' or 'openblas'; the bits are the same.\n"
    "    threads: at most; 0 for those that `set_threads` says.\n\n"
    "Returns:\n"
    "    (..., T, D): `out` itself where it is given.\n\n"
    "Raises:\n"
    "    OutOfRangeError: an IndexError with `id`, `row`, `position` and `bound`.\n"
    "    ValueError: a shape, strides, a read-only or overlapping `out`, two ways to say "
    "positions.\n"
    "    TypeError: an element type.\n");

PyDoc_STRVAR(
    embed_fused_doc,
    "embed_fused(table, ids, positions=None, *, segments=None, segment_ids=None, norm='none', "
    "gamma=None, beta=None, epsilon=1e-05, offset=None, position_ids=None, "
    "cumulative_lengths=None, mask=None, scale=1.0, unknown='error', overflow='error', "
    "dropout=0.0, dropout_seed=0, dropout_step=0, backend='auto', threads=0, out=None)\n--\n\n"
    "Token, position and segment rows, normalised and dropped from, in one pass. Tables of 16-bit\n"
    "elements are widened to floats, computed with as floats, and each result is rounded once.\n\n"
    "Args:\n"
    "    table, ids, positions, offset, position_ids, cumulative_lengths, mask, scale, unknown,\n"
    "        overflow, backend, threads, out: as in `embed`.\n"
    "    segments: (S, D) of the table's type; segment_ids: the ids' shape and type, None for "
    "segment 0.\n"
    "    norm: 'none', 'layer' or 'rms', with gamma and beta (D) of float32 and epsilon.\n"
    "    dropout: the share of elements that becomes 0; the rest is scaled by 1 / (1 - dropout). "
    "The mask\n"
    "        is a function of dropout_seed, dropout_step and the element's place alone.\n\n"
    "Raises:\n"
    "    OutOfRangeError, ValueError, TypeError: as `embed`.\n");

PyDoc_STRVAR(
    embed_fused_backward_doc,
    "embed_fused_backward(output_gradient, table, ids, positions=None, *, segments=None, "
    "segment_ids=None, norm='none', gamma=None, beta=None, epsilon=1e-05, offset=None, "
    "position_ids=None, cumulative_lengths=None, mask=None, scale=1.0, unknown='error', "
    "overflow='error', dropout=0.0, dropout_seed=0, dropout_step=0, backend='auto', "
    "threads=0)\n--\n\n"
    "The gradients of `embed_fused` from that of its output, (..., T, D); other arguments are the "
    "forward's. Gradients\n"
    "are float32, whatever the tables are.\n\n"
    "Returns:\n"
    "    (row_gradient (..., T, D), gamma_gradient, beta_gradient (D), segment_gradient (S, D)), "
    "None for\n"
    "    what is not there. `backward` takes row_gradient to the tables.\n");

PyDoc_STRVAR(
    normalize_doc,
    "normalize(input, *, norm='layer', gamma=None, beta=None, epsilon=1e-05, threads=0, "
    "out=None)\n--\n\n"
    "Normalises rows: layer norm or 'rms'.\n\n"
    "Args:\n"
    "    input: float32 (..., D); gamma, beta: (D) or None; out: as the input, apart from it.\n\n"
    "Raises:\n"
    "    ValueError, TypeError: shapes, types, strides, epsilon.\n");

PyDoc_STRVAR(
    normalize_backward_doc,
    "normalize_backward(output_gradient, input, *, norm='layer', gamma=None, beta=None, "
    "epsilon=1e-05, threads=0)\n--\n\n"
    "The gradients of `normalize`: (input_gradient (..., D), gamma_gradient, beta_gradient "
    "(D)), None for what is not there.\n");

PyDoc_STRVAR(
    renormalize_doc,
    "renormalize(table, ids, maximum_norm, *, order=2.0)\n--\n\n"
    "Scales the table's rows of `ids` whose p-norm is above `maximum_norm` down to it, in "
    "place: nn.Embedding's max_norm.\n\n"
    "Args:\n"
    "    table: (V, D) of float32, float16 or bfloat16; ids: of any shape; order: p, above 0, or "
    "inf.\n\n"
    "Returns:\n"
    "    How many rows were scaled.\n\n"
    "Raises:\n"
    "    OutOfRangeError: an id outside the table. ValueError: maximum_norm or order.\n");

PyDoc_STRVAR(tied_logits_doc,
             "tied_logits(hidden, table, *, scale=1.0, out=None)\n--\n\n"
             "The output head that shares the token table: `scale * hidden @ table.T`, float32.\n\n"
             "Args:\n"
             "    hidden: (N, D); table: (V, D); out: (N, V).\n");

PyDoc_STRVAR(
    tied_backward_doc,
    "tied_backward(logit_gradient, hidden, table, *, scale=1.0, table_out=None)\n--\n\n"
    "The gradients of `tied_logits` from that of the logits, (N, V).\n\n"
    "Returns:\n"
    "    (hidden_gradient (N, D), table_gradient (V, D)); the latter is added to `table_out` "
    "where it is given.\n");

PyDoc_STRVAR(convert_doc,
             "convert(array, type, *, out=None)\n--\n\n"
             "Converts between 'float32', 'float16' and 'bfloat16', rounding to nearest even.\n\n"
             "Args:\n"
             "    array: of any shape; out: the same shape in the new type.\n");

PyDoc_STRVAR(
    from_dlpack_doc,
    "from_dlpack(value)\n--\n\n"
    "A NumPy array over what another library shows by DLPack on the CPU, bfloat16 among it, "
    "without a copy.\n\n"
    "What comes in a capsule of before DLPack 1 is read-only.\n\n"
    "Raises:\n"
    "    BufferError: another device. TypeError: elements that NumPy has not.\n");

#endif
