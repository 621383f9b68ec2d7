// The table of model types: for each `model_type` of a configuration, what its rotation is where the
// file doesn't say. It is data that a reader can check row by row: JSON texts, one entry a type, in
// the files beside this one.
//
// A field's name with a value is the type's default of that field. The other entries are:
//
//   pairs           "interleaved" for pairs (2i, 2i + 1); else (i, i + half)
//   turn            "backward" for turning by the negative angle
//   axes            coordinates: {"sections": [t, h, w]} consecutive, {"interleaved": [t, h, w]},
//                   {"alternating": [h, w, t]}, {"turns": n} one a pair, {"axial": n} over the whole
//                   head, {"blocks": n} in parts of it; sections are those of files without any
//   head            the head dim, the first of these that is filled;
//                   by default "head_dim | hidden_size / num_attention_heads"
//   part            "last" for a rotation of each head's last elements
//   partial         true where partial_rotary_factor counts without a scheme too; false means that
//                   the type's code turns the whole head
//   rotary          the field with the number of rotated elements, where no factor is given
//   names, also     another name that a field has in files: in place of the usual one (null: no file
//                   sets it), or as well
//   ratio           a field that multiplies the base
//   rope_parameters the whole object of files that have none
//   unread          fields that the type's code passes over: errors in a file
//   only            the one field that the rotation is read from
//   split           true where each layer type has its own rotation even if the file gives one object;
//                   flat: that object may be rope_parameters too, and have type for rope_type;
//                   rope_type alone: where no object may have type for rope_type
//   layers          a row for a layer type; scaled: whether the file's one object holds for it;
//                   unset: what of it doesn't count; yarn: what one of type yarn lacks;
//                   scheme's base, nested base: the layers whose base is taken where the file's one
//                   object, or the layer type's own, has none
//   layer_types     the kinds of layer
//   rotates, thetas fields with one number a layer, 0 for no rotation; thetas are bases
//   scaled layers   a field with the layers that the scheme holds for
//   types           names of schemes that the type has for others
//   keys, ignored   further fields of rope_parameters, and beside it, that say nothing of angles or
//                   that a scheme reads
//   fixed           fields that are as the row says, whatever a file has
//   switch          what a field must be for there to be a rotation at all
//   text, of        the part of a model that is meant, and its usual type; defaults: what the whole
//                   sets where the part is left out; merged: in a part that is there too; flat: the
//                   part's fields may stand in the whole
//   refused         why the rotation isn't here
//
// The row named "" is for files without a model type.

/// The rows' texts, each the members of one JSON object with a comma after the last.
enum RotaryModelTable {
  static let texts = [aToE, fToK, lToO, pToZ]
}
