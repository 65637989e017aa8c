// SPDX-License-Identifier: GPL-2.0
/*
 * Lets the kernel's virtio-gpu driver transfer what was drawn and not the whole screen.
 *
 * Since 6.8 a plane's state has a flag, ignore_damage_clips, that a driver sets when the plane shows another buffer. It
 * is copied into every later state and never cleared, so that from the first picture on every letter that is typed is
 * a transfer of the whole screen: 4 MB copied by QEMU, and looked through by whoever shows the screen. The mending,
 * "drm/damage-helper: Clear ignore_damage_clips in plane-state duplication" (June 2026, for stable kernels from 6.10),
 * is not in this kernel; this does the same from outside. A kernel that has it makes this module needless.
 */
#include <linux/kprobes.h>
#include <linux/module.h>
#include <drm/drm_atomic_state_helper.h>
#include <drm/drm_plane.h>

/* Remembers which state is being made: its second argument. */
static int begins(struct kretprobe_instance *instance, struct pt_regs *regs)
{
	*(struct drm_plane_state **)instance->data = (struct drm_plane_state *)regs_get_kernel_argument(regs, 1);
	return 0;
}

/* The flag speaks of the state that was copied. */
static int ends(struct kretprobe_instance *instance, struct pt_regs *regs)
{
	(*(struct drm_plane_state **)instance->data)->ignore_damage_clips = false;
	return 0;
}

static struct kretprobe duplication = {
	/* By its address, so that its module is loaded before this one. */
	.kp.addr = (kprobe_opcode_t *)__drm_atomic_helper_plane_duplicate_state,
	.entry_handler = begins,
	.handler = ends,
	.data_size = sizeof(struct drm_plane_state *),
};

static int __init damage_clips_init(void)
{
	return register_kretprobe(&duplication);
}

static void __exit damage_clips_exit(void)
{
	unregister_kretprobe(&duplication);
}

module_init(damage_clips_init);
module_exit(damage_clips_exit);
MODULE_DESCRIPTION("Clears ignore_damage_clips in copies of a plane's state");
MODULE_LICENSE("GPL");
