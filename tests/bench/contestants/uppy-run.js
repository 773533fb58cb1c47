// SPDX-License-Identifier: MIT
/** What both generations of Uppy have in common. */
export const run = (uppy) => async (files) => {
    uppy.addFiles(files.map((file) => ({ name: file.name, type: file.type, data: file, source: 'bench' })));
    const result = await uppy.upload();
    if (result.failed.length) throw new Error(String(result.failed[0].error));
    if (result.successful.length !== files.length) throw new Error('not all files arrived');
};
