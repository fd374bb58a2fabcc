//! The plugin ABI of Ablate for Rust, without crates. Written from ablate_plugin.h, which documents every field;
//! a test of Ablate's holds both together.
#![allow(non_camel_case_types, dead_code)]
use core::ffi::c_void;

pub type ablate_status = i32;
pub type ablate_write = Option<unsafe extern "C" fn(*mut c_void, *const c_void, u64) -> ablate_status>;
pub type ablate_read = Option<unsafe extern "C" fn(*mut c_void, *mut c_void, u64) -> u64>;
pub const ABLATE_ABI_MAJOR: u32 = 1;
pub const ABLATE_ABI_MINOR: u32 = 0;
pub const ABLATE_OK: i32 = 0;
pub const ABLATE_E_INVALID: i32 = -1;
pub const ABLATE_E_UNSUPPORTED: i32 = -2;
pub const ABLATE_E_STATE: i32 = -3;
pub const ABLATE_E_MEMORY: i32 = -4;
pub const ABLATE_E_CANCELLED: i32 = -5;
pub const ABLATE_E_INTERNAL: i32 = -6;
pub const ABLATE_READ: u32 = 1;
pub const ABLATE_WRITE: u32 = 2;
pub const ABLATE_T_BOOL: u32 = 1;
pub const ABLATE_T_I64: u32 = 2;
pub const ABLATE_T_F64: u32 = 3;
pub const ABLATE_T_STR: u32 = 4;
pub const ABLATE_T_I64V: u32 = 5;
pub const ABLATE_T_STRV: u32 = 6;
pub const ABLATE_T_SELECTOR: u32 = 7;
pub const ABLATE_T_TENSOR: u32 = 8;
pub const ABLATE_PARAM_REQUIRED: u32 = 1;
pub const ABLATE_EDGE_DROP: u32 = 1;
pub const ABLATE_EDGE_KEEP_ONLY: u32 = 2;
pub const ABLATE_EDGE_BIAS: u32 = 3;
pub const ABLATE_EDGE_ZERO: u32 = 4;
pub const ABLATE_SITE_SCALE: u32 = 5;
pub const ABLATE_SITE_SET: u32 = 6;
pub const ABLATE_SITE_ADD: u32 = 7;
pub const ABLATE_SITE_PATCH: u32 = 8;
pub const ABLATE_EDIT_SOURCE_LAYER: u32 = 1;
pub const ABLATE_EMPTY_ERROR: u32 = 0;
pub const ABLATE_EMPTY_SELF: u32 = 1;
pub const ABLATE_EMPTY_ZERO: u32 = 2;
pub const ABLATE_READ_LENS: u32 = 1;
pub const ABLATE_READ_MASS: u32 = 2;
pub const ABLATE_READ_CAPTURE: u32 = 3;
pub const ABLATE_TIES_MEAN: u32 = 0;
pub const ABLATE_TIES_BEST: u32 = 1;
pub const ABLATE_FORM_SPACED: u32 = 1;
pub const ABLATE_FORM_BARE: u32 = 2;
pub const ABLATE_FORM_CAPITAL: u32 = 4;
pub const ABLATE_FORM_PLURAL: u32 = 8;
pub const ABLATE_PIECES_EXCLUDE: u32 = 0;
pub const ABLATE_PIECES_FIRST: u32 = 1;
pub const ABLATE_PIECES_MIN: u32 = 2;
pub const ABLATE_PIECES_MEAN: u32 = 3;
pub const ABLATE_SCORE_EMBEDDING: u32 = 1;
pub const ABLATE_SCORE_COSINE: u32 = 2;
pub const ABLATE_PLAN_PER_ITEM: u32 = 1;
pub const ABLATE_SEGMENT_PREFIX: u32 = 0;
pub const ABLATE_SEGMENT_IMAGE: u32 = 1;
pub const ABLATE_SEGMENT_QUESTION: u32 = 2;
pub const ABLATE_SEGMENT_GENERATED: u32 = 3;
pub const ABLATE_LAST_BLOCK: u32 = 1;
pub const ABLATE_PHASE_VISION: u32 = 0;
pub const ABLATE_PHASE_PROJECTOR: u32 = 1;
pub const ABLATE_PHASE_PREFILL: u32 = 2;
pub const ABLATE_PHASE_DECODE: u32 = 3;
pub const ABLATE_INTERVENTION: u32 = 1;
pub const ABLATE_PROBE: u32 = 2;
pub const ABLATE_EXPECTS_NO_CHANGE: u32 = 1;

#[repr(C)]
#[derive(Clone, Copy)]
pub struct ablate_error {
    pub struct_size: u32,
    pub code: ablate_status,
    pub message: *mut u8,
    pub capacity: u64,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct ablate_tensor {
    pub data: *mut c_void,
    pub device_type: i32,
    pub device_id: i32,
    pub ndim: i32,
    pub dtype_code: u8,
    pub dtype_bits: u8,
    pub dtype_lanes: u16,
    pub shape: *const i64,
    pub strides: *const i64,
    pub byte_offset: u64,
    pub size_bytes: u64,
    pub access: u32,
    pub _pad: u32,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct ablate_param {
    pub struct_size: u32,
    pub r#type: u32,
    pub id: *const u8,
    pub doc: *const u8,
    pub unit: *const u8,
    pub min: f64,
    pub max: f64,
    pub def: f64,
    pub def_int: i64,
    pub def_str: *const u8,
    pub choices: *const *const u8,
    pub n_choices: u64,
    pub flags: u32,
    pub _pad: u32,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct ablate_value {
    pub struct_size: u32,
    pub r#type: u32,
    pub id: *const u8,
    pub i: i64,
    pub f: f64,
    pub s: *const u8,
    pub iv: *const i64,
    pub sv: *const *const u8,
    pub n: u64,
    pub tensor: *const ablate_tensor,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct ablate_access {
    pub struct_size: u32,
    pub access: u32,
    pub tower: *const u8,
    pub site: *const u8,
    pub layer_first: i32,
    pub layer_last: i32,
    pub heads: *const i32,
    pub n_heads: u64,
    pub tokens: *const u8,
    pub token_index: *const i32,
    pub n_token_index: u64,
    pub flags: u32,
    pub _pad: u32,
    pub layers: *const u8,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct ablate_edit {
    pub struct_size: u32,
    pub op: u32,
    pub tower: *const u8,
    pub site: *const u8,
    pub layer_first: i32,
    pub layer_last: i32,
    pub heads: *const i32,
    pub n_heads: u64,
    pub queries: *const u8,
    pub keys: *const u8,
    pub query_index: *const i32,
    pub n_query_index: u64,
    pub key_index: *const i32,
    pub n_key_index: u64,
    pub value: f64,
    pub vector: *const ablate_tensor,
    pub source_condition: *const u8,
    pub source_item: *const u8,
    pub source_layer: i32,
    pub keep_self: u32,
    pub on_empty: u32,
    pub flags: u32,
    pub layers: *const u8,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct ablate_reading {
    pub struct_size: u32,
    pub op: u32,
    pub tower: *const u8,
    pub site: *const u8,
    pub layer_first: i32,
    pub layer_last: i32,
    pub tokens: *const u8,
    pub keys: *const u8,
    pub labels: *const u8,
    pub normed: u32,
    pub ties: u32,
    pub vocabulary_first: i64,
    pub vocabulary_count: i64,
    pub layers: *const u8,
    pub forms: u32,
    pub pieces: u32,
    pub top: u32,
    pub scores: u32,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct ablate_plan {
    pub struct_size: u32,
    pub flags: u32,
    pub accesses: *const ablate_access,
    pub n_accesses: u64,
    pub edits: *const ablate_edit,
    pub n_edits: u64,
    pub readings: *const ablate_reading,
    pub n_readings: u64,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct ablate_model {
    pub struct_size: u32,
    pub compute_dtype: u32,
    pub family: *const u8,
    pub digest: *const u8,
    pub text_layers: i32,
    pub text_heads: i32,
    pub text_kv_heads: i32,
    pub text_head_width: i32,
    pub text_width: i32,
    pub text_mlp_width: i32,
    pub vision_layers: i32,
    pub vision_heads: i32,
    pub vision_head_width: i32,
    pub vision_width: i32,
    pub patch_rows: i32,
    pub patch_cols: i32,
    pub image_size: i32,
    pub feature_layer: i32,
    pub vocabulary: i32,
    pub known_vocabulary: i32,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct ablate_segment {
    pub struct_size: u32,
    pub kind: u32,
    pub first: i32,
    pub count: i32,
    pub image: i32,
    pub tile: i32,
    pub rows: i32,
    pub cols: i32,
    pub left: f32,
    pub top: f32,
    pub right: f32,
    pub bottom: f32,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct ablate_label {
    pub struct_size: u32,
    pub _pad: u32,
    pub field: *const u8,
    pub text: *const u8,
    pub ids: *const i32,
    pub n_ids: u64,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct ablate_mask {
    pub struct_size: u32,
    pub _pad: u32,
    pub name: *const u8,
    pub rows: *const i32,
    pub coverage: *const f32,
    pub n: u64,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct ablate_item {
    pub struct_size: u32,
    pub flags: u32,
    pub index: u64,
    pub id: *const u8,
    pub condition: *const u8,
    pub tokens: *const i32,
    pub n_tokens: u64,
    pub segments: *const ablate_segment,
    pub n_segments: u64,
    pub labels: *const ablate_label,
    pub n_labels: u64,
    pub masks: *const ablate_mask,
    pub n_masks: u64,
    pub meta_json: *const u8,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct ablate_slice {
    pub struct_size: u32,
    pub lane: u32,
    pub access_index: u32,
    pub flags: u32,
    pub view: *mut ablate_tensor,
    pub rows: *const i32,
    pub n_rows: u64,
    pub heads: *const i32,
    pub n_heads: u64,
    pub key_first: i32,
    pub n_keys: i32,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct ablate_event {
    pub struct_size: u32,
    pub phase: u32,
    pub layer: i32,
    pub step: i32,
    pub tower: *const u8,
    pub site: *const u8,
    pub slices: *const ablate_slice,
    pub n_slices: u64,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct ablate_column {
    pub struct_size: u32,
    pub r#type: u32,
    pub name: *const u8,
    pub data: *const c_void,
    pub offsets: *const i32,
    pub valid: *const u8,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct ablate_host {
    pub struct_size: u32,
    pub abi_major: u32,
    pub abi_minor: u32,
    pub _pad: u32,
    pub edit_ops: u64,
    pub reading_ops: u64,
    pub ctx: *mut c_void,
    pub name: *const u8,
    pub version: *const u8,
    pub extension: Option<unsafe extern "C" fn(*mut c_void, *const u8) -> *const c_void>,
    pub log: Option<unsafe extern "C" fn(*mut c_void, i32, *const u8)>,
    pub alloc: Option<unsafe extern "C" fn(*mut c_void, u64, u64) -> *mut c_void>,
    pub release: Option<unsafe extern "C" fn(*mut c_void, *mut c_void)>,
    pub random: Option<unsafe extern "C" fn(*mut c_void, u32, u64, u64, *mut u32, u64) -> ablate_status>,
    pub emit: Option<unsafe extern "C" fn(*mut c_void, u32, *const u8, *const ablate_column, u64, u64) -> ablate_status>,
    pub cancelled: Option<unsafe extern "C" fn(*mut c_void) -> i32>,
    pub select: Option<unsafe extern "C" fn(*mut c_void, *const u8, *const u8, *mut i32, u64) -> i64>,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct ablate_ext_fit {
    pub struct_size: u32,
    pub flags: u32,
    pub begin: Option<unsafe extern "C" fn(*mut c_void, u64, u64, *mut ablate_error) -> ablate_status>,
    pub batch: Option<unsafe extern "C" fn(*mut c_void, *const ablate_tensor, *const i32, *const u64, *mut ablate_error) -> ablate_status>,
    pub end: Option<unsafe extern "C" fn(*mut c_void, *mut ablate_error) -> ablate_status>,
    pub predict: Option<unsafe extern "C" fn(*mut c_void, *const ablate_tensor, *const ablate_tensor, *mut ablate_error) -> ablate_status>,
    pub save: Option<unsafe extern "C" fn(*mut c_void, ablate_write, *mut c_void, *mut ablate_error) -> ablate_status>,
    pub load: Option<unsafe extern "C" fn(*mut c_void, ablate_read, *mut c_void, *mut ablate_error) -> ablate_status>,
    pub batch_finals: Option<unsafe extern "C" fn(*mut c_void, *const ablate_tensor, *const ablate_tensor, *const u64, *mut ablate_error) -> ablate_status>,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct ablate_ext_lens {
    pub struct_size: u32,
    pub _pad: u32,
    pub ctx: *mut c_void,
    pub divergence: Option<unsafe extern "C" fn(*mut c_void, *const ablate_tensor, *const ablate_tensor, *const ablate_tensor, *const ablate_tensor) -> ablate_status>,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct ablate_plugin {
    pub struct_size: u32,
    pub kind: u32,
    pub id: *const u8,
    pub version: *const u8,
    pub max_lanes: u32,
    pub threading: u32,
    pub determinism: u32,
    pub flags: u32,
    pub params: *const ablate_param,
    pub n_params: u64,
    pub create: Option<unsafe extern "C" fn(*const ablate_host, *const ablate_model, *const ablate_value, u64, *mut ablate_error) -> *mut c_void>,
    pub destroy: Option<unsafe extern "C" fn(*mut c_void)>,
    pub plan: Option<unsafe extern "C" fn(*mut c_void, *const ablate_item, *mut ablate_plan, *mut ablate_error) -> ablate_status>,
    pub begin_lane: Option<unsafe extern "C" fn(*mut c_void, u32, *const ablate_item, *mut ablate_error) -> ablate_status>,
    pub on_event: Option<unsafe extern "C" fn(*mut c_void, *const ablate_event, *mut ablate_error) -> ablate_status>,
    pub end_lane: Option<unsafe extern "C" fn(*mut c_void, u32, *const ablate_column, u64, u64, *mut ablate_error) -> ablate_status>,
    pub extension: Option<unsafe extern "C" fn(*mut c_void, *const u8) -> *const c_void>,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct ablate_library {
    pub struct_size: u32,
    pub abi_major: u32,
    pub abi_minor: u32,
    pub pointer_bits: u32,
    pub plugins: *const *const ablate_plugin,
    pub n_plugins: u64,
}
