/* Pages by path: links are plain <a href>, clicks on them change the page without loading it. A page with
 * something that is not saved is asked first (useLeaving). */
import { useEffect, useState } from 'preact/hooks';

const EVENT = 'wos-moved';

type Leave = () => void;

let ask: ((leave: Leave) => void) | undefined; /* what the page wants to be asked */
let shown = ''; /* path and query of the page */

function mayLoseSomething(href: string): boolean {
    return ask !== undefined && new URL(href, location.href).pathname !== new URL(shown, location.href).pathname;
}

export function go(href: string) {
    if (mayLoseSomething(href)) {
        ask!(() => go(href));
        return;
    }
    history.pushState(null, '', href);
    window.dispatchEvent(new Event(EVENT));
    window.scrollTo(0, 0);
}

export function useLocation(): URL {
    const [at, setAt] = useState(location.href);
    useEffect(() => {
        const onMove = () => {
            shown = location.pathname + location.search;
            setAt(location.href);
        };
        const onPop = () => { /* cannot be prevented: the page is put back on top */
            if (mayLoseSomething(location.href)) {
                history.pushState(null, '', shown);
                ask!(() => history.back());
            } else {
                onMove();
            }
        };
        const onClick = (event: MouseEvent) => {
            const link = (event.target as Element).closest?.('a');
            if (!link || link.origin !== location.origin || link.target !== '' || event.button !== 0
                || event.metaKey || event.ctrlKey || event.shiftKey || link.hasAttribute('download')
                || link.getAttribute('href')!.startsWith('#')) {
                return;
            }
            event.preventDefault();
            go(link.href);
        };
        onMove();
        window.addEventListener('popstate', onPop);
        window.addEventListener(EVENT, onMove);
        document.addEventListener('click', onClick);
        return () => {
            window.removeEventListener('popstate', onPop);
            window.removeEventListener(EVENT, onMove);
            document.removeEventListener('click', onClick);
        };
    }, []);
    return new URL(at);
}

/* For a page that may lose something: `leave` is there when somebody wants to go elsewhere, and goes;
 * `stay` forgets it. When the whole tab goes, the browser asks. */
export function useLeaving(isUnsaved: boolean): { leave?: Leave; stay: () => void } {
    const [leave, setLeave] = useState<Leave>();
    const stay = () => setLeave(undefined);
    useEffect(() => {
        if (!isUnsaved) {
            return undefined;
        }
        const onUnload = (event: Event) => event.preventDefault();
        ask = (wanted) => setLeave(() => () => {
            ask = undefined;
            wanted();
        });
        window.addEventListener('beforeunload', onUnload);
        return () => {
            ask = undefined;
            stay();
            window.removeEventListener('beforeunload', onUnload);
        };
    }, [isUnsaved]);
    return { leave, stay };
}

export function worktreeHref(path: string): string {
    return `/worktree?path=${encodeURIComponent(path)}`;
}
