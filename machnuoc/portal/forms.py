"""What customers type."""

from django import forms

from machnuoc.portal import codes


class Address(forms.Form):
    address = forms.CharField(
        label="Số điện thoại hoặc thư điện tử", max_length=254,
        widget=forms.TextInput(attrs={"autocomplete": "username", "inputmode": "email", "autocapitalize": "none"}),
        help_text="Số hoặc địa chỉ đã ghi trong hợp đồng hoặc đề nghị lắp nước.",
    )  # fmt: skip

    def clean_address(self) -> str:
        try:
            return codes.read_address(self.cleaned_data["address"])
        except codes.BadAddress as reason:
            raise forms.ValidationError(str(reason)) from None


class Code(forms.Form):
    code = forms.CharField(
        label="Mã gồm 6 chữ số", max_length=20,
        widget=forms.TextInput(attrs={"autocomplete": "one-time-code", "inputmode": "numeric"}),
    )  # fmt: skip
