/** Whether this page is in the desktop window, which does by itself what a browser has to be asked for. */
export const inDesktopWindow = 'nightshiftApp' in window;
