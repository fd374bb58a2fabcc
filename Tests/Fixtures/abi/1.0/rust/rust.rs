#[path = "ablate_plugin.rs"]
mod abi;
use abi::*;
use core::ffi::c_void;
use std::ffi::{CStr, CString};

/// Static tables hold raw pointers, which Rust does not take for safe to share; these never change.
#[repr(transparent)]
struct Fixed<T>(T);
unsafe impl<T> Sync for Fixed<T> {}

const fn param(id: &'static [u8], r#type: u32, text: *const u8, def: f64, bound: f64) -> ablate_param {
    ablate_param {
        struct_size: core::mem::size_of::<ablate_param>() as u32, r#type, id: id.as_ptr(), doc: core::ptr::null(),
        unit: core::ptr::null(), min: -bound, max: bound, def, def_int: 0, def_str: text, choices: core::ptr::null(),
        n_choices: 0, flags: 0, _pad: 0,
    }
}

/// The same as in plugin.json; the host compares both.
static PARAMS: Fixed<[ablate_param; 3]> = Fixed([
    param(b"layers\0", ABLATE_T_SELECTOR, b"all\0".as_ptr(), 0.0, 0.0),
    param(b"tokens\0", ABLATE_T_SELECTOR, b"image\0".as_ptr(), 0.0, 0.0),
    param(b"factor\0", ABLATE_T_F64, core::ptr::null(), 0.5, 100.0),
]);

/// An element of an array of the host's, which is walked by the writer's struct_size.
unsafe fn element<T>(start: *const T, index: u64) -> *const T {
    let size = *(start as *const u32) as usize;
    (start as *const u8).add(size * index as usize) as *const T
}

unsafe fn find(values: *const ablate_value, n: u64, id: &CStr) -> Option<&'static ablate_value> {
    (0..n).map(|i| &*element(values, i)).find(|value| CStr::from_ptr(value.id as *const _) == id)
}

unsafe fn text(values: *const ablate_value, n: u64, id: &CStr) -> CString {
    find(values, n, id).map(|value| CStr::from_ptr(value.s as *const _).to_owned()).unwrap_or_default()
}

struct Instance {
    _layers: CString, // strings of the host die when create returns
    _tokens: CString,
    factor: f32,
    access: ablate_access,
}

unsafe extern "C" fn create(
    _host: *const ablate_host, _model: *const ablate_model, values: *const ablate_value, n: u64,
    _error: *mut ablate_error,
) -> *mut c_void {
    let layers = text(values, n, c"layers");
    let tokens = text(values, n, c"tokens");
    let mut access: ablate_access = core::mem::zeroed();
    access.struct_size = core::mem::size_of::<ablate_access>() as u32;
    access.access = ABLATE_READ | ABLATE_WRITE;
    access.tower = b"text\0".as_ptr();
    access.site = b"resid_post\0".as_ptr();
    access.layers = layers.as_ptr() as *const u8;
    access.tokens = tokens.as_ptr() as *const u8;
    let factor = find(values, n, c"factor").map(|value| value.f).unwrap_or(1.0);
    Box::into_raw(Box::new(Instance { _layers: layers, _tokens: tokens, factor: factor as f32, access })) as *mut c_void
}

unsafe extern "C" fn destroy(me: *mut c_void) {
    drop(Box::from_raw(me as *mut Instance));
}

/// What it asks for; the host checks this against the footprint of plugin.json.
unsafe extern "C" fn plan(
    me: *mut c_void, _item: *const ablate_item, out: *mut ablate_plan, _error: *mut ablate_error,
) -> ablate_status {
    (*out).accesses = &(*(me as *mut Instance)).access;
    (*out).n_accesses = 1;
    ABLATE_OK
}

/// A view is dense f32, here [rows, width]: the rows that the plan names, of one lane.
unsafe extern "C" fn on_event(
    me: *mut c_void, event: *const ablate_event, _error: *mut ablate_error,
) -> ablate_status {
    for s in 0..(*event).n_slices {
        let slice = &*element((*event).slices, s);
        let view = &*slice.view;
        let x = (view.data as *mut u8).add(view.byte_offset as usize) as *mut f32;
        let count = slice.n_rows as usize * *view.shape.add(1) as usize;
        for value in core::slice::from_raw_parts_mut(x, count) {
            *value *= (*(me as *const Instance)).factor;
        }
    }
    ABLATE_OK
}

static PLUGIN: Fixed<ablate_plugin> = Fixed(ablate_plugin {
    struct_size: core::mem::size_of::<ablate_plugin>() as u32,
    kind: ABLATE_INTERVENTION,
    id: b"rust\0".as_ptr(), version: b"0.1.0\0".as_ptr(), max_lanes: 0, threading: 0, determinism: 2, flags: 0,
    params: PARAMS.0.as_ptr(), n_params: 3, create: Some(create), destroy: Some(destroy), plan: Some(plan),
    on_event: Some(on_event),
    begin_lane: None, end_lane: None, extension: None,
});
static PLUGINS: Fixed<[*const ablate_plugin; 1]> = Fixed([&PLUGIN.0]);
static LIBRARY: Fixed<ablate_library> = Fixed(ablate_library {
    struct_size: core::mem::size_of::<ablate_library>() as u32, abi_major: ABLATE_ABI_MAJOR,
    abi_minor: ABLATE_ABI_MINOR, pointer_bits: 64, plugins: PLUGINS.0.as_ptr(), n_plugins: 1,
});

#[no_mangle]
pub extern "C" fn ablate_plugin_entry_v1(_host_minor: u32, _error: *mut ablate_error) -> *const ablate_library {
    &LIBRARY.0
}